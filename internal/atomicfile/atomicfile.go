// Package atomicfile writes files that appear whole or not at all.
package atomicfile

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// File is a file that is being written under a temporary name beside its final one. Whoever looks at the final name
// sees the old file or the whole new one, also after a crash. It ends by Commit or Discard.
type File struct {
	path, temp string
	file       *os.File
	buffer     *bufio.Writer
	closed     bool // flushed, synced and closed
	done       bool // renamed or removed
	err        error
}

// Create starts a file that Commit will put at path. Something other than a regular file at path (a directory,
// a device) is an error.
func Create(path string) (*File, error) {
	// Not os.CreateTemp: it makes the file private, while the final one should follow the user's umask.
	return create(path, filepath.Join(filepath.Dir(path), TempName()), os.O_EXCL)
}

// CreateAs is Create with a temporary name of the caller's, which must be the only one to use it. What a program that
// was killed has left there is overwritten.
func CreateAs(path, temp string) (*File, error) { return create(path, temp, os.O_TRUNC) }

func create(path, temp string, flag int) (*File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s exists and is not a regular file", path)
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|flag, 0o666)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", path, err)
	}
	return &File{path: path, temp: temp, file: f, buffer: bufio.NewWriterSize(f, 1<<18)}, nil
}

const tempPrefix, tempSuffix = ".adavit-", ".tmp"

// TempName returns a fresh hidden name for something that is not yet whole.
func TempName() string { return tempPrefix + rand.Text() + tempSuffix }

// RemoveTemp removes the temporary files that programs which were killed have left in dir. Nobody else may be writing
// there. A dir that does not exist has none.
func RemoveTemp(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, tempPrefix) || !strings.HasSuffix(name, tempSuffix) || !e.Type().IsRegular() {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// Write adds to the file. After an error every later call, Close and Commit included, returns it again.
func (p *File) Write(b []byte) (int, error) {
	switch {
	case p.err != nil:
		return 0, p.err
	case p.closed:
		return 0, fmt.Errorf("writing %s: %w", p.path, fs.ErrClosed)
	}
	n, err := p.buffer.Write(b)
	return n, p.fail(err)
}

// fail keeps the first error and returns it, nil if there is none.
func (p *File) fail(err error) error {
	if p.err == nil && err != nil {
		p.err = fmt.Errorf("writing %s: %w", p.path, err)
	}
	return p.err
}

// Close brings the bytes to disk, still under the temporary name. Whoever replaces several files closes all of them
// first: what can fail for want of space has then failed before any final name has changed.
func (p *File) Close() error {
	if p.closed || p.err != nil {
		return p.err
	}
	p.closed = true
	p.fail(p.buffer.Flush())
	if p.err == nil {
		p.fail(p.file.Sync())
	}
	return p.fail(p.file.Close())
}

// Commit closes the file if need be, gives it its final name, and makes that last through a crash. On failure the
// temporary file is removed.
func (p *File) Commit() error {
	if p.done {
		return p.err
	}
	if p.Close() != nil || p.fail(os.Rename(p.temp, p.path)) != nil {
		p.Discard()
		return p.err
	}
	p.done = true
	return p.fail(SyncDir(filepath.Dir(p.path)))
}

// Discard removes the temporary file; after Commit it does nothing.
func (p *File) Discard() {
	if p == nil || p.done {
		return
	}
	p.closed, p.done = true, true
	p.file.Close()
	os.Remove(p.temp)
}

// SyncDir makes renames in a directory last through a crash. Where a directory cannot be synced (Windows, some network
// file systems) it does nothing.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err = d.Sync(); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}

// Replace puts at path what write writes: a reader of path sees the old content or all of the new one, never a part.
func Replace(path string, write func(io.Writer) error) error {
	p, err := Create(path)
	if err != nil {
		return err
	}
	defer p.Discard()
	if err := write(p); err != nil && p.err == nil {
		return err
	}
	return p.Commit()
}

// WriteFile is Replace by data.
func WriteFile(path string, data []byte) error {
	return Replace(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Writable makes the folder dir and tries whether a file can be put there.
func Writable(dir string) error {
	err := os.MkdirAll(dir, 0o777)
	if err == nil {
		var p *File
		p, err = Create(filepath.Join(dir, "tried"))
		p.Discard()
	}
	if err != nil {
		return fmt.Errorf("folder for the results: %w", err)
	}
	return nil
}
