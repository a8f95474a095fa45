package hub

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/adavit/adavit/internal/filelock"
)

// lockFile waits until no other process has the lock and takes it: the one that huggingface_hub takes here too. See
// remote.download for why a file system without locks does no harm.
func lockFile(ctx context.Context, log *slog.Logger, path string) (unlock func(), err error) {
	begin, told := time.Now(), false
	for {
		unlock, ok, err := filelock.Try(path)
		if ok {
			return unlock, nil
		}
		if err == nil && !told && time.Since(begin) > 5*time.Second {
			told = true
			log.Info("waiting for another process that downloads the same file", "lock", path)
		}
		if err == nil {
			err = sleep(ctx, 50*time.Millisecond)
		}
		if err != nil {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
	}
}
