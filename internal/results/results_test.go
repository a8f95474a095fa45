package results

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// became is what is said to have become of a file: every fourth is damaged.
func became(name string, i int) Row {
	c := Row{File: name}
	if i%4 == 3 {
		c.Error = name + ": <damaged>"
	} else {
		c.Result = &adavit.Result{Top: []adavit.Prediction{{Class: i, Label: "a & b", Probability: 0.75}}, Tokens: 10 + i,
			TokenShare: 0.5, MeanDepth: 1.5, Blocks: 2, MACs: 1 << 40, Budget: adavit.Budget{Max: 0.5}}
		c.Milliseconds = float64(i) / 8
	}
	return c
}

// runFile classifies those of names that are not done into path, stopping after n of them.
func runFile(t *testing.T, path string, names []string, n int) *File {
	t.Helper()
	r, err := Open(path, "run", false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var files []picture.File
	for _, name := range names {
		files = append(files, picture.File{Name: name})
	}
	for i, f := range r.Choose(files) {
		if i == n {
			return r
		}
		if err := r.Add(became(f.Name, slices.Index(names, f.Name))); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Finish(); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestCut cuts the journal of a run off, or writes junk there, as a crash may: with what the next run adds, the
// table is that of a run that nobody disturbed. Names come twice, and need not be UTF-8.
func TestCut(t *testing.T) {
	dir := t.TempDir()
	names := []string{"a.png", "b/ü.png", "twice.png", "bad\xe9.png", "bad\xe8.png", "twice.png", "<&>.png", "last.png"}
	for format, step := range map[string]int{".jsonl": 13, ".parquet": 211} {
		whole, broken := filepath.Join(dir, "whole"+format), filepath.Join(dir, "broken"+format)
		if r := runFile(t, whole, names, -1); r.Images != len(names) || r.Failed != 2 || r.Resumed != 0 {
			t.Errorf("%d images, %d failed, %d resumed", r.Images, r.Failed, r.Resumed)
		}
		want, err := os.ReadFile(whole)
		if err != nil {
			t.Fatal(err)
		}
		runFile(t, broken, names, 6)
		journal, err := os.ReadFile(broken + ".partial")
		if err != nil {
			t.Fatal(err)
		}
		for cut := 0; cut <= len(journal); cut += step {
			junk := []string{"", "\x00\x00\x00", "{}{\n"}[cut/step%3]
			lines := bytes.Count(journal[:cut], []byte("\n"))
			if lines == 0 {
				junk = "" // a first line of junk is nobody's journal
			}
			if err := os.WriteFile(broken+".partial", slices.Concat(journal[:cut], []byte(junk)), 0o666); err != nil {
				t.Fatal(err)
			}
			r := runFile(t, broken, names, -1)
			got, err := os.ReadFile(broken)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("cut at %d of %d, %q added: another table, %v\n%s", cut, len(journal), junk, err, got)
			}
			if r.Resumed != max(lines-1, 0) {
				t.Errorf("cut at %d: %d resumed, want %d", cut, r.Resumed, lines-1)
			}
			if left, _ := filepath.Glob(broken + ".*"); left != nil {
				t.Fatalf("left over: %q", left)
			}
			if err := os.Remove(broken); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestOthers: what this call does not name is counted, and in its table no more; what it names besides is done now.
func TestOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	runFile(t, path, []string{"a", "b", "c"}, 2)
	r := runFile(t, path, []string{"0", "b", "c"}, -1)
	if r.Resumed != 1 || r.Images != 3 || r.Others != 1 || r.Other != "a" {
		t.Errorf("%d resumed of %d, %d others, such as %q", r.Resumed, r.Images, r.Others, r.Other)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range bytes.Lines(b) {
		found = append(found, string(line[:len(`{"file":"b"`)]))
	}
	if want := []string{`{"file":"b"`, `{"file":"0"`, `{"file":"c"`}; !slices.Equal(found, want) {
		t.Errorf("%q, want %q", found, want)
	}
}

// TestRefuses: a table of another run or of another program's is left alone.
func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r.jsonl")
	refused := func(path, run, want string) {
		t.Helper()
		r, err := Open(path, run, false)
		if err == nil {
			r.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s, %s: %v, want %s", path, run, err, want)
		}
	}
	refused(filepath.Join(dir, "r.csv"), "run", "a .parquet or a .jsonl file")
	refused(filepath.Join(dir, "none", "r.jsonl"), "run", "no such file")
	r, err := Open(path, "run", false)
	if err != nil {
		t.Fatal(err)
	}
	refused(path, "run", "is being written by another program")
	r.Close()
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("a run that did nothing leaves %v", left)
	}
	runFile(t, path, []string{"a", "b"}, 1)
	before, err := os.ReadFile(path + ".partial")
	if err != nil {
		t.Fatal(err)
	}
	refused(path, "another", "has results of another model or of other options")
	if after, err := os.ReadFile(path + ".partial"); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a refused journal is changed: %v", err)
	}
	if err := errors.Join(os.Remove(path+".partial"), os.WriteFile(path, nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	refused(path, "run", "exists already")
	if _, err := os.Stat(path + ".partial"); err == nil {
		t.Error("a refused run leaves a journal")
	}
	foreign := filepath.Join(dir, "f.parquet")
	if err := os.WriteFile(foreign+".partial", fmt.Appendln(nil, "my notes"), 0o666); err != nil {
		t.Fatal(err)
	}
	refused(foreign, "run", "holds something else; move it away")
}

// TestName: names that differ differ when they are written, and those that are UTF-8 stay as they are.
func TestName(t *testing.T) {
	for name, want := range map[string]string{"a/ü\ufffd.png": "a/ü\ufffd.png", "a\xff.png": `a\xff.png`,
		"\xfeü\xc3": `\xfeü\xc3`} {
		if got := Name(name); got != want {
			t.Errorf("%q is written %q, want %q", name, got, want)
		}
	}
}

// TestRun: other weights are another run, whether they are in memory or still in their files; a bit of one is enough.
func TestRun(t *testing.T) {
	m := modeltest.Small(t, true)
	run := func(m *vit.Model) string {
		s, err := Run(m, adavit.Options{}, adavit.Budget{}, picture.Decoding{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	stored := func() string {
		dir := t.TempDir()
		if err := vit.Save(dir, m, weights.F32); err != nil {
			t.Fatal(err)
		}
		in, err := vit.LoadOptions{Stored: true}.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if in.Params.Data != nil {
			t.Fatal("the weights are not in their file")
		}
		return run(in)
	}
	memory, file := run(m), stored()
	if memory != file {
		t.Errorf("%s in memory, %s in a file", memory, file)
	}
	last := &m.Params.Data[len(m.Params.Data)-1]
	*last = math.Nextafter32(*last, 2)
	if run(m) == memory || stored() == file {
		t.Error("other weights are the same run")
	}
	if _, err := Run(&vit.Model{Params: &vit.Params{Config: m.Params.Config}}, adavit.Options{}, adavit.Budget{},
		picture.Decoding{}); err == nil {
		t.Error("a run of no weights")
	}
}
