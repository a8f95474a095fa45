// Package filelock keeps other processes out. A lock ends with its process, however it ends.
package filelock

import (
	"errors"
	"os"
	"syscall"

	"github.com/gofrs/flock"
)

// Try takes the lock on a file, which is made if it is not there, or on an existing folder, where no file is left. ok
// is false while another process, or another caller in this one, has it. The file stays after unlock: removing it
// would let two processes hold locks on two files of one name. Where the file system has no locks, or the system none
// on folders, everybody gets one: callers must be safe without, and use the lock to spare work or to warn.
func Try(path string) (unlock func(), ok bool, err error) {
	flags := os.O_RDWR | os.O_CREATE
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		flags = os.O_RDONLY
	}
	// Group-writable, since a group that shares a cache shares its locks.
	l := flock.New(path, flock.SetFlag(flags), flock.SetPermissions(0o664))
	for {
		ok, err = l.TryLock()
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil && unsupported(err) {
		err, ok = nil, true
	}
	if err != nil || !ok {
		return nil, false, errors.Join(err, l.Close())
	}
	return func() { l.Close() }, true, nil
}

// unsupported reports whether an error means that there are no locks here.
func unsupported(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.ENOLCK) || errors.Is(err, syscall.EINVAL)
}
