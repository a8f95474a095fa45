// Package regular opens files that must be regular ones. To open a named pipe may mean to wait for ever, so a path is
// looked at before it is opened.
package regular

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrNotRegular is wrapped by errors about paths that name no regular file.
var ErrNotRegular = errors.New("not a regular file")

// ErrTooLarge is wrapped by errors about files of more bytes than are read.
var ErrTooLarge = errors.New("too large")

// Open opens a regular file and returns its size in bytes. Errors name the path.
func Open(path string) (f *os.File, size int64, err error) {
	switch info, err := os.Stat(path); {
	case err != nil: // opening it will say what is wrong
	case info.IsDir():
		return nil, 0, fmt.Errorf("%s: is a folder, %w", path, ErrNotRegular)
	case !info.Mode().IsRegular():
		return nil, 0, fmt.Errorf("%s: %w", path, ErrNotRegular)
	default:
		size = info.Size()
	}
	f, err = os.Open(path)
	return f, size, err
}

// Read returns a regular file of at most limit bytes. Errors name the path.
func Read(path string, limit int64) ([]byte, error) {
	f, size, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d are read", path, ErrTooLarge, size, limit)
	}
	return readAll(path, f, limit, size)
}

// ReadAll returns what r holds, which is an error if it is more than limit bytes; name stands for r in errors.
func ReadAll(name string, r io.Reader, limit int64) ([]byte, error) {
	return readAll(name, r, limit, 0)
}

// readAll is ReadAll of probably so many bytes.
func readAll(name string, r io.Reader, limit, size int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(size) + bytes.MinRead) // so that it never moves
	if _, err := b.ReadFrom(io.LimitReader(r, limit+1)); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(b.Len()) > limit {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", name, ErrTooLarge, limit)
	}
	return b.Bytes(), nil
}

// CutShort words an end of file where more was expected; other errors stay what they are.
func CutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file is cut short")
	}
	return err
}
