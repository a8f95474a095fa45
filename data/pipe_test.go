//go:build unix

package data

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/picture"
)

// TestNamedPipe: opening one would wait for ever.
func TestNamedPipe(t *testing.T) {
	dir := t.TempDir()
	pipe := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path, 0o666); err != nil {
			t.Skip(err)
		}
		return path
	}
	if _, err := picture.DecodeFile(pipe("x.png")); !errors.Is(err, regular.ErrNotRegular) {
		t.Errorf("image: %v", err)
	}
	pipe("idx/" + IDXNames[Test][0])
	pipe("idx/" + IDXNames[Test][1])
	if _, err := Open(filepath.Join(dir, "idx"), Test); !errors.Is(err, regular.ErrNotRegular) {
		t.Errorf("IDX: %v", err)
	}
}
