package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"github.com/adavit/adavit/internal/kernels"
)

// describeMachine says in a few lines what the figures were measured on; what the system does not tell is left out.
func describeMachine(ctx context.Context) []string {
	var lines []string
	cpu := lscpu(ctx)
	add := func(label string, values ...string) {
		values = slices.DeleteFunc(values, func(v string) bool { return v == "" })
		if len(values) > 0 {
			lines = append(lines, label+": "+strings.Join(values, ", "))
		}
	}
	model := cpu["Model name"]
	if model != "" && cpu["CPU family"] != "" {
		model += fmt.Sprintf(" (family %s, model %s)", cpu["CPU family"], cpu["Model"])
	}
	cores := ""
	if n := cpu["CPU(s)"]; n != "" {
		cores = n + " CPUs"
	}
	under := ""
	if v := cpu["Hypervisor vendor"]; v != "" {
		under = "virtual machine under " + v
	}
	add("processor", model, cores, under)
	var caches []string
	for _, level := range []string{"L1d", "L2", "L3"} {
		if size := cpu[level+" cache"]; size != "" {
			caches = append(caches, level+" "+size)
		}
	}
	add("caches, all cores together", caches...)
	var features []string
	flags := strings.Fields(cpu["Flags"])
	for _, f := range []string{"fma", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8",
		"amx_bf16"} {
		if slices.Contains(flags, f) {
			features = append(features, f)
		}
	}
	add("instructions", features...)
	add("our kernels", kernels.Path())
	add("memory", memoryTotal())
	add("system", runtime.GOOS+"/"+runtime.GOARCH, output(ctx, "uname", "-r"))
	return lines
}

// lscpu reads lscpu's "key: value" lines; none where there is no lscpu.
func lscpu(ctx context.Context) map[string]string {
	found := map[string]string{}
	cmd := exec.CommandContext(ctx, "lscpu")
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	text, err := cmd.Output()
	if err != nil {
		return found
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			found[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return found
}

func memoryTotal() string {
	text, err := os.ReadFile("/proc/meminfo")
	var kb float64
	if err != nil {
		return ""
	}
	if _, err := fmt.Sscanf(string(text), "MemTotal: %f kB", &kb); err != nil {
		return ""
	}
	return fmt.Sprintf("%.0f GiB", kb/(1<<20))
}

// output is what a small program prints, "" if it cannot.
func output(ctx context.Context, args ...string) string {
	text, err := exec.CommandContext(ctx, args[0], args[1:]...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// revision is the commit that was measured, marked if files differ from it.
func revision(ctx context.Context) string {
	commit := output(ctx, "git", "rev-parse", "--short=12", "HEAD")
	if commit != "" && output(ctx, "git", "status", "--porcelain", "--untracked-files=no") != "" {
		commit += " with changes"
	}
	return commit
}
