package kernels

import (
	"slices"
	"testing"
)

// TestRegister adds a path as an architecture's files do.
func TestRegister(t *testing.T) {
	defer func(old []*path, oldActive *path) { paths, active = old, oldActive }(paths, active)
	before := Paths()
	if before[len(before)-1] != "portable" {
		t.Fatalf("the paths are %q", before)
	}
	paths = slices.Clone(paths)
	toy := portable
	toy.name = "toy"
	toy.dot = func(a, b []float32) float32 { return 42 }
	for name, want := range map[string]string{"": "toy", "portable": "portable", "unheard-of": "toy"} {
		t.Setenv(pathVariable, name)
		paths = paths[len(paths)-len(before):]
		register(&toy)
		if Path() != want || Paths()[0] != "toy" {
			t.Errorf("%s=%s: %q is in use, of %q", pathVariable, name, Path(), Paths())
		}
		if err := Configured(); (err != nil) != (name == "unheard-of") {
			t.Errorf("%s=%s: %v", pathVariable, name, err)
		}
	}
	restore, err := Use("toy")
	if err != nil || Dot(nil, nil) != 42 {
		t.Fatalf("toy is not in use: %v", err)
	}
	restore()
	if _, err := Use("unheard-of"); err == nil {
		t.Fatal("a path that is not there is in use")
	}
}
