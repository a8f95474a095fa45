package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
)

func TestPending(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := WriteFile(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	p, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	p.Write([]byte("ne"))
	filetest.Content(t, path, "old")
	p.Write([]byte("w"))
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	filetest.Content(t, path, "old")
	if _, err := p.Write([]byte("!")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("write after Close: %v", err)
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	p.Discard()
	filetest.Content(t, path, "new")
	filetest.Names(t, dir, "f")
	if err := p.Commit(); err != nil {
		t.Errorf("second Commit: %v", err)
	}
}

func TestPendingDiscard(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, closed := range []bool{false, true} {
		p, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		p.Write([]byte("x"))
		if closed {
			p.Close()
		}
		p.Discard()
		p.Discard()
		filetest.Names(t, dir)
	}
}

func TestPendingRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := WriteFile(dir, nil); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("over a directory: %v", err)
	}
	err := WriteFile(filepath.Join(dir, "none", "f"), nil)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join("none", "f")) {
		t.Errorf("into no directory: %v", err)
	}
	if runtime.GOOS != "windows" {
		// Renaming over it would replace the device by a file.
		if err := WriteFile("/dev/null", nil); err == nil {
			t.Error("over a device: no error")
		}
	}
	filetest.Names(t, dir)
}

// TestCommitFails: the target becomes a directory while the file is written.
func TestCommitFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	p, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	p.Write([]byte("x"))
	if err := os.Mkdir(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not name %s", err, path)
	}
	filetest.Names(t, dir, "f")
}

// TestWriteFails: the disk refuses the bytes (here because the file has been closed underneath).
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := WriteFile(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	p, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	p.file.Close()
	p.Write(make([]byte, 1<<20))
	if err := p.Commit(); err == nil {
		t.Error("no error")
	}
	filetest.Content(t, path, "old")
	filetest.Names(t, dir, "f")
}

func TestFollowsUmask(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits")
	}
	dir := t.TempDir()
	reference := filepath.Join(dir, "reference")
	if err := os.WriteFile(reference, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "f")
	if err := WriteFile(path, nil); err != nil {
		t.Fatal(err)
	}
	want, _ := os.Stat(reference)
	if got, err := os.Stat(path); err != nil || got.Mode() != want.Mode() {
		t.Errorf("mode %v %v, want %v", got.Mode(), err, want.Mode())
	}
}

// TestCreateAs: what a killed program has left under the temporary name is overwritten.
func TestCreateAs(t *testing.T) {
	dir := t.TempDir()
	path, temp := filepath.Join(dir, "f"), filepath.Join(dir, "f.tmp")
	if err := os.WriteFile(temp, []byte("left over, and longer"), 0o666); err != nil {
		t.Fatal(err)
	}
	p, err := CreateAs(path, temp)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "new" {
		t.Errorf("%q, %v", b, err)
	}
	filetest.Names(t, dir, "f")
}

func TestRemoveTemp(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"f", ".adavit-f", "x.tmp", TempName(), TempName()} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveTemp(dir); err != nil {
		t.Fatal(err)
	}
	filetest.Names(t, dir, ".adavit-f", "f", "x.tmp")
	if err := RemoveTemp(filepath.Join(dir, "nowhere")); err != nil {
		t.Errorf("a folder that is not there: %v", err)
	}
	if err := RemoveTemp(filepath.Join(dir, "f")); err == nil {
		t.Error("a file instead of a folder: no error")
	}
}
