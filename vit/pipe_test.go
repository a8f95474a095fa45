//go:build unix

package vit

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestNamedPipe: opening one would wait for ever.
func TestNamedPipe(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, ConfigFile), 0o666); err != nil {
		t.Skip(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("%v", err)
	}
}
