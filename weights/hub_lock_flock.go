//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package weights

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes the lock that huggingface_hub takes here too. ok is false while another process has it.
func tryLock(f *os.File) (ok bool, err error) {
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err {
		case nil:
			return true, nil
		case syscall.EINTR:
		case syscall.EWOULDBLOCK, syscall.EACCES:
			return false, nil
		default:
			if errors.Is(err, errors.ErrUnsupported) || err == syscall.ENOLCK || err == syscall.EINVAL {
				return true, nil // a file system without locks: see remote.download for why that does no harm
			}
			return false, err
		}
	}
}
