// Package cgroup says how much of the machine Linux lets this process have: the CPU quota and the memory limit of its
// control groups, version 1 or 2. Elsewhere, and where no group sets a limit, there is none.
package cgroup

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// CPUs returns the quota in CPUs, 0.5 being half of one's time; 0 means that there is none.
func CPUs() float64 { return cpus(os.DirFS("/")) }

// Memory returns the limit in bytes; 0 means that there is none.
func Memory() int64 { return memory(os.DirFS("/")) }

// LimitMemory tells the garbage collector to stay below nine tenths of Memory, so that it works harder before the
// kernel ends the process. Someone who set GOMEMLIMIT has decided already. It returns the limit in force in bytes, 0 if
// there is none.
func LimitMemory() int64 {
	if limit := Memory(); limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit / 10 * 9)
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}

func cpus(root fs.FS) float64 {
	quota := 0.0
	for dir := range groups(root, "cpu") {
		q := dir.number("cpu.cfs_quota_us") / dir.number("cpu.cfs_period_us")
		if text, ok := dir.text("cpu.max"); ok {
			limit, period, _ := strings.Cut(text, " ")
			q = number(limit) / number(period)
		}
		if q > 0 && (quota == 0 || q < quota) { // not so for NaN, of what is missing or no number
			quota = q
		}
	}
	return quota
}

func memory(root fs.FS) int64 {
	limit := int64(0)
	for dir := range groups(root, "memory") {
		for _, name := range []string{"memory.max", "memory.high", "memory.limit_in_bytes"} {
			// Version 1 writes "no limit" as the largest multiple of a page.
			if n := dir.number(name); n > 0 && n < 1<<62 && (limit == 0 || int64(n) < limit) {
				limit = int64(n)
			}
		}
	}
	return limit
}

// group is the folder of one control group.
type group struct {
	root fs.FS
	dir  string
}

func (g group) text(name string) (text string, ok bool) {
	b, err := fs.ReadFile(g.root, path.Join(g.dir, name))
	return strings.TrimSpace(string(b)), err == nil
}

func (g group) number(name string) float64 {
	text, _ := g.text(name)
	return number(text)
}

// number is NaN for "max" and for nothing.
func number(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return n
}

// groups calls yield with the groups that a controller puts the process into, in both versions' hierarchies: its own
// and all above it, since each of them sets a bound.
func groups(root fs.FS, controller string) func(yield func(group) bool) {
	return func(yield func(group) bool) {
		memberships, _ := fs.ReadFile(root, "proc/self/cgroup")
		mounts, _ := fs.ReadFile(root, "proc/self/mountinfo")
		for line := range strings.Lines(string(memberships)) {
			f := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(f) != 3 || f[1] != "" && !contains(f[1], controller) {
				continue
			}
			top, below := mount(string(mounts), controller, f[1] == "", f[2])
			if top == "" {
				continue
			}
			for dir := path.Join(top, below); ; dir = path.Dir(dir) {
				if !yield(group{root, dir}) {
					return
				}
				if len(dir) <= len(top) {
					break
				}
			}
		}
	}
}

// mount finds where a hierarchy is mounted, without the first slash, and where a group lies below that. In a container
// the mount may show a part of the hierarchy only, and the group's name may be outside of it: then the top is its own.
func mount(mounts, controller string, unified bool, name string) (top, below string) {
	for line := range strings.Lines(mounts) {
		// 36 35 0:30 ROOT POINT OPTIONS… - TYPE SOURCE OPTIONS
		left, right, ok := strings.Cut(line, " - ")
		f, of := strings.Fields(left), strings.Fields(right)
		if !ok || len(f) < 5 || len(of) < 3 {
			continue
		}
		if unified && of[0] == "cgroup2" || !unified && of[0] == "cgroup" && contains(of[2], controller) {
			if rest, inside := strings.CutPrefix(name, strings.TrimSuffix(f[3], "/")); inside {
				below = path.Join("/", rest)
			}
			return strings.TrimPrefix(f[4], "/"), below
		}
	}
	return "", ""
}

// contains looks for a word in a list with commas.
func contains(list, word string) bool { return strings.Contains(","+list+",", ","+word+",") }
