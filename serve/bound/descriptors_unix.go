//go:build unix

package bound

import (
	"math"

	"golang.org/x/sys/unix"
)

// descriptors is how many files the process may have open, 0 if nobody knows. Go has raised the soft limit to the hard
// one.
func descriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(uint64(limit.Cur), math.MaxInt32))
}
