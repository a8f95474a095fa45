package weights

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// lockFile waits until no other process has the lock and takes it. The file stays: removing it would let two processes hold locks on
// two files of one name. A lock ends with its process, whatever happens to it.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o664) // a group that shares a cache shares its locks
	if err != nil {
		return nil, err
	}
	begin, told := time.Now(), false
	for {
		ok, err := tryLock(f)
		if ok {
			return func() { f.Close() }, nil
		}
		if err == nil && !told && time.Since(begin) > 5*time.Second {
			told = true
			slog.Info("waiting for another process that downloads the same file", "lock", path)
		}
		if err == nil {
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case <-time.After(50 * time.Millisecond):
			}
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
	}
}
