package filelock

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTry(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "x.lock"), dir} {
		unlock, ok, err := Try(path)
		if err != nil || !ok {
			t.Fatalf("%s: %t, %v", path, ok, err)
		}
		if _, ok, err := Try(path); ok || err != nil {
			t.Errorf("%s: a second lock: %t, %v", path, ok, err)
		}
		unlock()
		if unlock, ok, err = Try(path); !ok || err != nil {
			t.Errorf("%s: after unlocking: %t, %v", path, ok, err)
		} else {
			unlock()
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if _, ok, err := Try(filepath.Join(dir, "nowhere", "x.lock")); ok || err == nil {
		t.Errorf("a lock in a folder that is not there: %t, %v", ok, err)
	}
}
