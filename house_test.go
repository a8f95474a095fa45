package adavit

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// What a reader can count on: files of one subject, lines that fit on a screen, a front door that is small.
const (
	maxFileLines = 400
	maxColumns   = 120
	maxRootLines = 1000 // of this package, without tests
)

// TestReadable holds every Go file of the repository to these bounds, generated ones left out. TestDocuments looks at
// the documents.
func TestReadable(t *testing.T) {
	files, root := 0, 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() && name != "." && (strings.HasPrefix(base, ".") || base == "testdata" ||
			base == "out") {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if bytes.Contains(text, []byte("\n// Code generated ")) || bytes.HasPrefix(text, []byte("// Code generated ")) {
			return nil
		}
		files++
		lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
		if len(lines) > maxFileLines {
			t.Errorf("%s has %d lines, want %d at most", name, len(lines), maxFileLines)
		}
		if filepath.Dir(name) == "." && !strings.HasSuffix(name, "_test.go") {
			root += len(lines)
		}
		for i, line := range lines {
			if n := utf8.RuneCount(line); n > maxColumns {
				t.Errorf("%s:%d has %d characters, want %d at most", name, i+1, n, maxColumns)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 200 {
		t.Fatalf("only %d files found: the test does not see the repository", files)
	}
	if root > maxRootLines {
		t.Errorf("the root package has %d lines, want %d at most", root, maxRootLines)
	}
}

// TestInferStandsAlone: a program that embeds the engine gets no HTTP client, no archives and no pictures with it.
func TestInferStandsAlone(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "./infer").CombinedOutput()
	if err != nil {
		t.Skipf("go list: %v\n%s", err, out)
	}
	for _, name := range strings.Fields(string(out)) {
		if name == "net/http" || name == "archive/tar" || name == "embed" {
			t.Errorf("infer depends on %s", name)
		}
	}
}
