package main

import (
	"os"
	"syscall"
)

// largestResident is the largest resident memory of a process that has ended, in bytes.
func largestResident(s *os.ProcessState) int64 {
	if u, ok := s.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss << 10
	}
	return 0
}
