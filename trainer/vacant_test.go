package trainer

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAboutFolder: whoever trains into a folder that has others in it, be it a fresh start or one with Resume, is told
// so; what a run leaves behind that ended before it saved anything is not meant.
func TestAboutFolder(t *testing.T) {
	for _, resume := range []bool{false, true} {
		for _, of := range []struct {
			folder string
			warns  bool
		}{{"photos", true}, {"", false}, {filepath.Base(checkpointDir("out")), false}} {
			if of.folder != "" && !of.warns && !resume {
				continue // a fresh start refuses it
			}
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, of.folder), 0o755); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			o := Options{Dir: dir, Resume: resume, Log: slog.New(slog.NewTextHandler(&said, nil))}
			if err := o.vacant(); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(said.String(), "lie among others"); got != of.warns {
				t.Errorf("resume %v, a folder %q: warned %v, want %v", resume, of.folder, got, of.warns)
			}
		}
	}
}
