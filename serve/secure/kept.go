// Package secure holds what protects a server's listeners: TLS whose certificates can be exchanged while it runs
// (tls.go), and bearer keys with scopes (keys.go). Both are files that other programs write. They are looked at again
// when they are needed, once a second at most, and read anew when they have changed; a file that cannot be read or is
// damaged leaves in force what was read before, and is reported to the log.
package secure

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// lookInterval is the shortest time between two looks at the files.
const lookInterval = time.Second

// maxFileSize bounds certificates and keys, in bytes.
const maxFileSize = 1 << 20

// kept is a value read from files, and read again when they change.
type kept[T any] struct {
	paths []string
	load  func() (*T, error)
	log   *slog.Logger
	value atomic.Pointer[T]

	mu     sync.Mutex // held while the files are looked at; who finds it taken uses the value that is there
	looked time.Time
	seen   []os.FileInfo
	failed string // the last failure that was logged, "" after a success
}

// open reads the files for the first time; without them there is nothing to keep.
func open[T any](log *slog.Logger, load func() (*T, error), paths ...string) (*kept[T], error) {
	k := &kept[T]{paths: paths, load: load, log: log, looked: time.Now()}
	k.seen, _ = k.stat()
	value, err := load()
	if err != nil {
		return nil, err
	}
	k.value.Store(value)
	return k, nil
}

// get returns the value of the files as they were a second ago or later.
func (k *kept[T]) get() *T {
	if k.mu.TryLock() {
		if now := time.Now(); now.Sub(k.looked) >= lookInterval {
			k.looked = now
			if k.failed != "" || k.changed() {
				k.read()
			}
		}
		k.mu.Unlock()
	}
	return k.value.Load()
}

// reload reads the files whether they have changed or not. After an error the old value stays.
func (k *kept[T]) reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.read()
}

// read takes notice of the files before it reads them, so that a change meanwhile is seen the next time.
func (k *kept[T]) read() error {
	k.looked = time.Now()
	k.seen, _ = k.stat()
	value, err := k.load()
	if err != nil {
		if k.failed != err.Error() {
			k.failed = err.Error()
			k.log.Error("reload failed, what was read before stays in force", "files", k.paths, "error", err)
		}
		return fmt.Errorf("%w (what was read before stays in force)", err)
	}
	k.failed = ""
	k.value.Store(value)
	k.log.Info("reloaded", "files", k.paths)
	return nil
}

func (k *kept[T]) changed() bool {
	now, err := k.stat()
	if err != nil || len(now) != len(k.seen) {
		return true // reading will say what is wrong
	}
	for i, info := range now {
		was := k.seen[i]
		if !os.SameFile(info, was) || info.Size() != was.Size() || !info.ModTime().Equal(was.ModTime()) {
			return true
		}
	}
	return false
}

func (k *kept[T]) stat() (infos []os.FileInfo, err error) {
	for _, path := range k.paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// warnOpen tells the log about a secret that every user of the machine can read.
func warnOpen(log *slog.Logger, path string) {
	const others fs.FileMode = 0o004
	if info, err := os.Stat(path); err == nil && info.Mode()&others != 0 && runtime.GOOS != "windows" {
		log.Warn("a secret file is readable by all users; chmod o-r takes that away", "file", path,
			"mode", info.Mode().Perm().String())
	}
}
