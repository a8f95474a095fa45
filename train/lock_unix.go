//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package train

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock keeps other runs out of a folder until release is called or the process ends, however it ends. It leaves no file. Where a file system
// has no such locks it does nothing.
func lock(dir string) (release func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		d.Close()
		return nil, fmt.Errorf("another run is at work in %s", dir)
	}
	return func() { d.Close() }, nil
}
