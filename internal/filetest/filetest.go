// Package filetest writes the files that tests need, and checks what they leave on disk.
package filetest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Check ends the test where err says that its own preparations failed.
func Check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Names checks that a folder holds exactly these names: nothing temporary is left.
func Names(t *testing.T, dir string, want ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	Check(t, err)
	var got []string
	for _, e := range list {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

// Content checks that a file holds exactly this text.
func Content(t *testing.T, path, want string) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != want {
		t.Errorf("%s: %q %v, want %q", path, b, err, want)
	}
}

// Write puts b into a file, making the folders on the way.
func Write(t testing.TB, b []byte, path ...string) {
	t.Helper()
	name := filepath.Join(path...)
	Check(t, os.MkdirAll(filepath.Dir(name), 0o755))
	Check(t, os.WriteFile(name, b, 0o644))
}

// IDX is an IDX file of bytes with these dimensions.
func IDX(data []byte, dims ...uint32) []byte {
	b := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, d)
	}
	return append(b, data...)
}

// Gunzip returns the content of a file that is compressed.
func Gunzip(t testing.TB, path ...string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join(path...))
	Check(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	Check(t, err)
	b, err := io.ReadAll(z)
	Check(t, err)
	return b
}

// Gzip compresses b.
func Gzip(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	Check(t, err)
	Check(t, w.Close())
	return out.Bytes()
}

// WantError checks that err is one whose text has all of these words.
func WantError(t testing.TB, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("error %v, want one with %q", err, w)
			return
		}
	}
}
