package adavit

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestDocuments: links of the documents lead to files, and their lines have 120 columns at most.
func TestDocuments(t *testing.T) {
	names, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	names = append(names, "deploy/README.md", "beam/README.md", "xla/README.md")
	link := regexp.MustCompile(`\]\(([^):#]+)\)`)
	for _, name := range names {
		text := read(t, name)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for i, line := range strings.Split(text, "\n") {
			if n := utf8.RuneCountInString(line); n > maxColumns && name != "BENCHMARKS.md" { // whose tables are wide
				t.Errorf("%s:%d: %d columns", name, i+1, n)
			}
		}
	}
}

// TestCitations: METHOD.md's equations are numbered from 1, and those that the code cites are there.
func TestCitations(t *testing.T) {
	equations := 0
	for _, m := range regexp.MustCompile(`(?m)^    .* \((\d+)\)$`).FindAllStringSubmatch(read(t, "METHOD.md"), -1) {
		if equations++; m[1] != strconv.Itoa(equations) {
			t.Errorf("METHOD.md: equation %s stands where %d should", m[1], equations)
		}
	}
	cited := regexp.MustCompile(`METHOD\.md((?:\s|//|and|[(),–]|\d)+)`)
	found := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".go" {
			return err
		}
		for _, m := range cited.FindAllStringSubmatch(read(t, name), -1) {
			for _, digits := range regexp.MustCompile(`\d+`).FindAllString(m[1], -1) {
				found++
				if n, _ := strconv.Atoi(digits); n < 1 || n > equations {
					t.Errorf("%s cites METHOD.md (%s), which has %d equations", name, digits, equations)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if equations == 0 || found == 0 {
		t.Errorf("%d equations, %d citations", equations, found)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
