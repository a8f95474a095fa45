// Package atomicfile writes files that appear whole or not at all.
package atomicfile

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// File is a file that is being written under a temporary name beside its final one. Whoever looks at the final name
// sees the old file or the whole new one, also after a crash:
//
//	p, err := Create(path)
//	defer p.Discard()      // does nothing after Commit
//	… write to p …
//	err = p.Commit()       // flush, fsync, rename, fsync of the directory
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
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s exists and is not a regular file", path)
	}
	dir := filepath.Dir(path)
	for try := 0; ; try++ {
		temp := filepath.Join(dir, TempName())
		// Not os.CreateTemp: it makes the file private, while the final one should follow the user's umask.
		f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) && try < 10 {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", path, err)
		}
		return &File{path: path, temp: temp, file: f, buffer: bufio.NewWriterSize(f, 1<<18)}, nil
	}
}

const tempPrefix, tempSuffix = ".adavit-", ".tmp"

// TempName returns a fresh hidden name for something that is not yet whole.
func TempName() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return tempPrefix + hex.EncodeToString(b[:]) + tempSuffix
}

// RemoveTemp removes the temporary files that programs which were killed have left in dir. Nobody else may be writing there. A dir that does
// not exist has none.
func RemoveTemp(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w", err)
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, tempPrefix) && strings.HasSuffix(name, tempSuffix) && e.Type().IsRegular() {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return fmt.Errorf("%w", err)
			}
		}
	}
	return nil
}

// Write adds to the file. After an error every later call, Close and Commit included, returns it again.
func (p *File) Write(b []byte) (int, error) {
	if p.err == nil && (p.closed || p.done) {
		return 0, fmt.Errorf("writing %s: %w", p.path, fs.ErrClosed)
	}
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.buffer.Write(b)
	if err != nil {
		p.err = fmt.Errorf("writing %s: %w", p.path, err)
	}
	return n, p.err
}

// Err is what went wrong so far, nil if nothing did.
func (p *File) Err() error { return p.err }

// Close brings the bytes to disk, still under the temporary name. Whoever replaces several files closes all of them
// first: what can fail for want of space has then failed before any final name has changed.
func (p *File) Close() error {
	if p.closed || p.done || p.err != nil {
		return p.err
	}
	p.closed = true
	err := p.buffer.Flush()
	if err == nil {
		err = p.file.Sync()
	}
	if e := p.file.Close(); err == nil {
		err = e
	}
	if err != nil {
		p.err = fmt.Errorf("writing %s: %w", p.path, err)
	}
	return p.err
}

// Commit closes the file if need be and gives it its final name. On failure the temporary file is removed.
func (p *File) Commit() error {
	if p.done {
		return p.err
	}
	if err := p.Close(); err != nil {
		p.Discard()
		return err
	}
	if err := os.Rename(p.temp, p.path); err != nil {
		p.err = fmt.Errorf("writing %s: %w", p.path, err)
		p.Discard()
		return p.err
	}
	p.done = true
	if err := SyncDir(filepath.Dir(p.path)); err != nil {
		p.err = fmt.Errorf("writing %s: %w", p.path, err)
	}
	return p.err
}

// Discard removes the temporary file; after Commit it does nothing.
func (p *File) Discard() {
	if p == nil || p.done {
		return
	}
	p.done = true
	if !p.closed {
		p.closed = true
		p.file.Close()
	}
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
	if err := d.Sync(); err != nil && !unsyncable(err) {
		return err
	}
	return nil
}

// unsyncable says whether an error means that the file system has no fsync for directories.
func unsyncable(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL)
}

// WriteFile puts data at path: a reader of path sees the old content or all of the new one, never a part.
func WriteFile(path string, data []byte) error {
	p, err := Create(path)
	if err != nil {
		return err
	}
	defer p.Discard()
	if _, err := p.Write(data); err != nil {
		return err
	}
	return p.Commit()
}

// Writable makes the folder dir and tries whether a file can be put there.
func Writable(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("folder for the results: %w", err)
	}
	p, err := Create(filepath.Join(dir, "report.html"))
	if err != nil {
		return fmt.Errorf("folder for the results: %w", err)
	}
	p.Discard()
	return nil
}
