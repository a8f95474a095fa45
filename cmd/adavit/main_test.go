package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/adavit/adavit"
)

var update = flag.Bool("update", false, "rewrite the golden outputs in the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"adavit": main})
}

// TestScripts runs the commands as a user does. $F holds the fixtures that writeFixtures makes.
func TestScripts(t *testing.T) {
	fixtures := t.TempDir()
	writeFixtures(t, fixtures)
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("F", fixtures)
			env.Setenv("GOMAXPROCS", "2") // what --threads stands for by default
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name == "bundled" {
				return slices.Contains(adavit.BundledModels(), "fashion-dense") &&
					slices.Contains(adavit.BundledModels(), "fashion-adaptive"), nil
			}
			return false, fmt.Errorf("no condition is called %s", name)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"holds": holds, "status": status},
	})
}

// holds DIR NAME… fails unless the directory holds exactly these names, hidden and temporary ones counted: nothing
// half-written is left over. A NAME may be a pattern, which stands for one file.
func holds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: holds dir name...")
	}
	var found []string
	root := ts.MkAbs(args[0])
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(root, path)
			found = append(found, filepath.ToSlash(name))
		}
		return err
	})
	ts.Check(err)
	want := slices.Sorted(slices.Values(args[1:]))
	slices.Sort(found)
	if !slices.EqualFunc(found, want, func(name, pattern string) bool {
		match, err := path.Match(pattern, name)
		ts.Check(err)
		return match
	}) {
		ts.Fatalf("%s holds %s, want %s", args[0], strings.Join(found, " "), strings.Join(want, " "))
	}
}

// status N COMMAND… runs a command and fails unless its exit status is N.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status n command arg...")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

// TestStdoutFails makes sure that a result which cannot be printed is a failure.
func TestStdoutFails(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer full.Close()
	var errs strings.Builder
	if status := run(t.Context(), []string{"bench", "--variant", "micro", "--seconds", "0.001"}, nil, full,
		&errs); status != exitFailed {
		t.Errorf("status %d, want %d; stderr: %s", status, exitFailed, &errs)
	}
	if !strings.Contains(errs.String(), "writing the result") {
		t.Errorf("stderr does not say what failed: %s", &errs)
	}
}

// panicking is a writer that brings a bug about.
type panicking struct{}

func (panicking) Write([]byte) (int, error) { panic("a bug") }

// TestPanicIsReported runs into a panic inside a command.
func TestPanicIsReported(t *testing.T) {
	var errs strings.Builder
	status := run(t.Context(), []string{"bench", "--variant", "micro", "--seconds", "0.001"}, nil, panicking{}, &errs)
	if status != exitFailed || !strings.Contains(errs.String(), "internal error: a bug") {
		t.Errorf("status %d, stderr %q", status, &errs)
	}
}
