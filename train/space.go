package train

import (
	"errors"
	"fmt"
	"syscall"
)

// full reports whether an error says that there is no room left for a file.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// noRoom adds to such an error what can be done. size is that of a checkpoint in bytes, step that of the one that is there, -1 for none.
func noRoom(err error, dir string, size int64, step int) error {
	have := "nothing is saved yet"
	if step >= 0 {
		have = fmt.Sprintf("the checkpoint of step %d in %s is whole", step, checkpointDir(dir))
	}
	return fmt.Errorf("%w; %s. A checkpoint takes %.1f MB, and one more than are kept must fit: free some space, or keep fewer (--set checkpoints=1), and go on with --resume",
		err, have, float64(size)/1e6)
}
