package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakePython puts a python3 before all others that makes virtual environments whose Python notes what it is asked to
// do, and installs everything but packages called "none". It returns the notes' file.
func fakePython(t *testing.T) string {
	t.Helper()
	bin, notes := t.TempDir(), filepath.Join(t.TempDir(), "notes")
	const maker = `#!/bin/sh
rm -rf "$4"; mkdir -p "$4/bin"; touch "$4/pyvenv.cfg"
cat > "$4/bin/python" <<'EOF'
#!/bin/sh
[ "$1" = --version ] && echo Python 3.0.0 && exit
echo "$@" >> NOTES
case "$*" in *none*) echo no such package >&2; exit 1;; esac
EOF
chmod +x "$4/bin/python"
`
	err := os.WriteFile(filepath.Join(bin, "python3"), []byte(strings.ReplaceAll(maker, "NOTES", notes)), 0o777)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return notes
}

// TestEnvironment: packages are installed once, and again when their versions change or installing them failed.
func TestEnvironment(t *testing.T) {
	notes, dir := fakePython(t), filepath.Join(t.TempDir(), "peers")
	installs := func() int {
		text, _ := os.ReadFile(notes) // there is none before the first
		return strings.Count(string(text), "pip install")
	}
	var log commandLog
	for i, step := range []struct {
		packages []string
		installs int
		fails    bool
	}{
		{[]string{"a==1", "b==2"}, 1, false},
		{[]string{"a==1", "b==2"}, 1, false},
		{[]string{"a==1", "b==3"}, 2, false},
		{[]string{"none==1"}, 3, true},
		{[]string{"a==1", "b==3"}, 4, false},
		{[]string{"a==1", "b==3"}, 5, false}, // its interpreter is gone
	} {
		if i == 5 {
			if err := os.Remove((&environment{dir: dir}).python()); err != nil {
				t.Fatal(err)
			}
		}
		versions, err := (&environment{dir: dir, packages: step.packages}).prepare(t.Context(), &log, "b")
		if step.fails != errors.Is(err, errAbsent) || !step.fails && err != nil {
			t.Errorf("step %d: %v", i, err)
		}
		if got := installs(); got != step.installs {
			t.Errorf("step %d: %d installations, want %d", i, got, step.installs)
		}
		if i == 2 && versions != "b 3; Python 3.0.0" {
			t.Errorf("versions are %q", versions)
		}
	}
}

// TestEnvironmentClears: a folder that is no virtual environment is not wiped.
func TestEnvironmentClears(t *testing.T) {
	fakePython(t)
	dir := t.TempDir()
	mine := filepath.Join(dir, "venv", "thesis.txt")
	if err := os.MkdirAll(filepath.Dir(mine), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mine, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := (&environment{dir: dir, packages: []string{"a==1"}}).prepare(t.Context(), &commandLog{})
	if err == nil || errors.Is(err, errAbsent) || !strings.Contains(err.Error(), "no virtual environment") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
}

// TestStartFastest: of a peer's settings the fastest is taken, and one that fails is told of.
func TestStartFastest(t *testing.T) {
	t.Setenv("BENCH_TEST_PEER", "settings")
	var told strings.Builder
	f := &findings{options: options{stderr: &told}, chosen: map[string]string{}}
	j := job{model: testModel(t), threads: 1, batch: 1}
	p, setting, err := f.startFastest(t.Context(), &fakePeer{[]string{"slow", "fails", "fast"}}, j, f32, 3)
	if err != nil {
		t.Fatal(err)
	}
	p.close()
	if setting != "fast" || len(f.notes) != 1 || !strings.Contains(f.notes[0], "no compiler") {
		t.Errorf("setting %q, notes %q", setting, f.notes)
	}
	p, setting, err = f.startFastest(t.Context(), &fakePeer{[]string{"slow", "fails", "fast"}}, j, f32, 3)
	if err != nil || setting != "fast" || strings.Count(told.String(), "fast: ") != 1 {
		t.Fatalf("the second time: %q, %v, and it was said:\n%s", setting, err, &told)
	}
	p.close()
	j.batch = 2 // nothing is known of that
	if _, _, err := f.startFastest(t.Context(), &fakePeer{[]string{"fails", "fails"}}, j, f32, 3); err == nil {
		t.Error("no setting works, and there is no error")
	}
	if want := os.Args[0] + " model f32 fast 1 1 images 3 "; !strings.HasPrefix(f.commands.lines[0], want) {
		t.Errorf("the command is %q, want %q…", f.commands.lines[0], want)
	}
}

// fakePeer is the test binary with some settings.
type fakePeer struct{ all []string }

func (*fakePeer) name() string                                          { return "Fake" }
func (*fakePeer) precisions() []string                                  { return []string{f32} }
func (*fakePeer) prepare(context.Context, workplace) (string, error)    { return "1", nil }
func (*fakePeer) convert(context.Context, *model, *commandLog) error    { return nil }
func (p *fakePeer) settings(job, string) []string                       { return p.all }
func (*fakePeer) command(*model, string, string) (_ []string, _ string) { return os.Args[:1], "model" }
