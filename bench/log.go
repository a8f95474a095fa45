package main

import (
	"slices"
	"strings"
)

// commandLog collects the commands that were run, each once, for a reader who wants to do the same.
type commandLog struct {
	replace [][2]string // folders of this machine, and what stands for them
	lines   []string
}

// add notes a command by its arguments.
func (l *commandLog) add(args ...string) {
	line := strings.Join(args, " ")
	for _, r := range l.replace {
		line = strings.ReplaceAll(line, r[0], r[1])
	}
	if !slices.Contains(l.lines, line) {
		l.lines = append(l.lines, line)
	}
}
