package adavit

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "github.com/adavit/adavit"

// floors says which packages lie on which floor, the basement first. A package imports only from floors below its own,
// never from its own; tests may look sideways.
var floors = [...][]string{
	{"internal/usage", "internal/cgroup"},
	{
		"internal/parallel", "internal/atomicfile", "internal/filelock", "internal/filetest", "internal/regular",
		"internal/strictjson", "internal/protobuf", "internal/parquet", "internal/turns", "internal/kernels",
	},
	{"halting", "picture", "weights", "recipes", "models"},
	{"vit", "hub", "data"},
	{"infer", "train", "onnx", "onnx/read", "report", "internal/tfevents", "datasets", "internal/machine",
		"internal/tokentest"},
	{"eval", "slicing", "internal/pool", "internal/modeltest"},
	{".", "trainer"},
	{"serve/inferencepb", "serve/load", "serve/page", "serve/secure", "serve/systemd", "serve/bound",
		"internal/results"},
	{"serve", "compare", "internal/tools"},
	{"cmd/adavit", "internal/schemetest"},
}

// floorOf returns the floor of a package by its folder.
func floorOf(dir string) (int, bool) {
	i := slices.IndexFunc(floors[:], func(names []string) bool { return slices.Contains(names, dir) })
	return i, i >= 0
}

// breach returns what is wrong with an import between two packages of this module, or "".
func breach(from, to string, test bool) string {
	f, ok := floorOf(from)
	if !ok {
		return fmt.Sprintf("package %s is on no floor: give it one, here and in the documents", from)
	}
	g, ok := floorOf(to)
	switch {
	case !ok:
		return fmt.Sprintf("package %s imports %s, which is on no floor", from, to)
	case g > f:
		return fmt.Sprintf("package %s (floor %d) imports %s from floor %d, upward", from, f, to, g)
	case g == f && from != to && !test:
		return fmt.Sprintf("package %s imports %s, sideways on floor %d", from, to, f)
	}
	return ""
}

// TestImportOrder reads the imports of every Go file of this module, tests and all build tags included, and fails on
// one that does not go downward. Modules nested in it are their own affair.
func TestImportOrder(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := d.Name()
			_, nested := os.Stat(filepath.Join(name, "go.mod"))
			if name != "." && (base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") ||
				nested == nil) {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		from := path.Dir(filepath.ToSlash(name))
		if _, ok := floorOf(from); !ok {
			t.Errorf("%s: %s", name, breach(from, from, false))
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			to, ours := strings.CutPrefix(imported+"/", modulePath+"/")
			if !ours {
				continue
			}
			if to = strings.TrimSuffix(to, "/"); to == "" {
				to = "."
			}
			if fault := breach(from, to, strings.HasSuffix(name, "_test.go")); fault != "" {
				t.Errorf("%s: %s", name, fault)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Fatalf("only %d Go files found: the test does not see the module", files)
	}
}

// TestBreach makes sure that the rule itself can fail.
func TestBreach(t *testing.T) {
	for _, c := range []struct {
		from, to string
		allowed  bool
	}{
		{"vit", "picture", true}, {"cmd/adavit", ".", true}, {"infer", "internal/kernels", true}, {".", ".", true},
		{"picture", "vit", false}, {"infer", "train", false}, {"halting", "weights", false}, {".", "cmd/adavit", false},
		{"vit", "elsewhere", false}, {"elsewhere", "vit", false},
	} {
		if fault := breach(c.from, c.to, false); (fault == "") != c.allowed {
			t.Errorf("%s imports %s: %q, want allowed %t", c.from, c.to, fault, c.allowed)
		}
	}
}
