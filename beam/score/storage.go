package score

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"cloud.google.com/go/storage"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem"

	// What Options may name.
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/gcs"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/local"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/s3"

	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/regular"
)

// stores are the file systems of this process by their schemes: making one for each file would connect each time.
var stores struct {
	sync.Mutex
	by map[string]filesystem.Interface
}

// open returns the file system that a name is in.
func open(ctx context.Context, name string) (f filesystem.Interface, err error) {
	defer func() {
		if p := recover(); p != nil { // as those do that find no configuration
			err = fmt.Errorf("%s: %v", name, p)
		}
	}()
	scheme := schemeOf(name)
	stores.Lock()
	defer stores.Unlock()
	if f = stores.by[scheme]; f != nil {
		return f, nil
	}
	if f, err = filesystem.New(context.WithoutCancel(ctx), name); err != nil {
		return nil, err
	}
	if stores.by == nil {
		stores.by = map[string]filesystem.Interface{}
	}
	stores.by[scheme] = f
	return f, nil
}

// openRead opens a file; a local one must be a regular file.
func openRead(ctx context.Context, name string) (io.ReadCloser, error) {
	if schemeOf(name) == "" {
		f, _, err := regular.Open(name)
		return f, err
	}
	if err := checkName(name); err != nil { // a list's names are looked at here alone
		return nil, &damagedError{err}
	}
	files, err := open(ctx, name)
	if err != nil {
		return nil, err
	}
	return files.OpenRead(ctx, name)
}

// readAll reads a file of at most limit bytes, again if a network fails. Errors name it.
func readAll(ctx context.Context, name string, limit int64) ([]byte, error) {
	b, err := retry(ctx, func() ([]byte, error) {
		if schemeOf(name) == "" {
			return regular.Read(name, limit)
		}
		r, err := openRead(ctx, name)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return regular.ReadAll(name, r, limit)
	})
	if err != nil && !strings.Contains(err.Error(), name) {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return b, err
}

// pauses are what retry waits before it tries again. Then the runner has its turn.
var pauses = []time.Duration{200 * time.Millisecond, time.Second, 5 * time.Second}

// retry calls f until it succeeds, or fails for good, or has had its turns.
func retry[T any](ctx context.Context, f func() (T, error)) (v T, err error) {
	for i := 0; ; i++ {
		if v, err = f(); err == nil || permanent(err) || i == len(pauses) {
			return v, err
		}
		select {
		case <-time.After(pauses[i]):
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

// fleeting are errors of local files that say nothing about the file.
var fleeting = []error{syscall.EIO, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.ETIMEDOUT,
	syscall.ESTALE}

// permanent reports whether an error in reading is about the file, which is then a dead letter. Others are the runner's
// affair: a bucket that may not be read should end the job, not make a million of dead letters.
func permanent(err error) bool {
	var damaged *damagedError
	if errors.As(err, &damaged) || errors.Is(err, storage.ErrObjectNotExist) || errors.Is(err, regular.ErrNotRegular) ||
		errors.Is(err, regular.ErrTooLarge) {
		return true
	}
	var local *fs.PathError
	if errors.As(err, &local) {
		for _, e := range fleeting {
			if errors.Is(err, e) {
				return false
			}
		}
		return true
	}
	// Beam's s3 hands errors on as text.
	return strings.Contains(err.Error(), "NoSuchKey")
}

// publish puts a file in its place, whole or not at all. An object store does so by itself.
func publish(ctx context.Context, name string, content []byte) error {
	if schemeOf(name) == "" {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return err
		}
		return atomicfile.WriteFile(name, content)
	}
	files, err := open(ctx, name)
	if err != nil {
		return err
	}
	_, err = retry(ctx, func() (struct{}, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // before Close, this leaves nothing behind
		w, err := files.OpenWrite(ctx, name)
		if err != nil {
			return struct{}{}, err
		}
		if _, err := io.Copy(w, bytes.NewReader(content)); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, w.Close()
	})
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// Empty makes sure that an output holds no results yet, and makes a local one.
func Empty(ctx context.Context, output string) error {
	if schemeOf(output) == "" {
		if err := atomicfile.Writable(output); err != nil {
			return err
		}
	}
	files, err := open(ctx, output)
	if err != nil {
		return err
	}
	for _, pattern := range []string{"results-*", "dead.jsonl*", "summary.json*"} {
		there, err := files.List(ctx, join(output, pattern))
		if err != nil {
			return fmt.Errorf("--output %s: %w", output, err)
		}
		if len(there) > 0 {
			return fmt.Errorf("--output %s holds results already (%s); remove them, or name another folder", output, there[0])
		}
	}
	return nil
}

// Clean removes what workers that were killed have left in a local output. No job may be writing there.
func Clean(output string) error {
	if schemeOf(output) != "" {
		return nil // an object is there or not
	}
	return atomicfile.RemoveTemp(output)
}
