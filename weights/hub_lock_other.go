//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package weights

import "os"

// tryLock does without a lock; see remote.download for why that does no harm.
func tryLock(*os.File) (ok bool, err error) { return true, nil }
