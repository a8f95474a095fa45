package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// environment is a virtual environment of Python in a folder of its own, with packages of given versions from PyPI.
type environment struct {
	dir      string
	packages []string // "name==version"
}

// python is the environment's interpreter.
func (e *environment) python() string { return filepath.Join(e.dir, "venv", "bin", "python") }

// prepare makes the environment, unless it is there with these very packages, and returns the versions of those that
// are named, of all if none is. Its commands are added to the log. An error that wraps errAbsent means that it cannot
// be had here.
func (e *environment) prepare(ctx context.Context, log *commandLog, names ...string) (versions string, err error) {
	venv := filepath.Join(e.dir, "venv")
	make := []string{"python3", "-m", "venv", "--clear", venv}
	install := append([]string{e.python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
		"--no-cache-dir"}, e.packages...)
	log.add(make...)
	log.add(install...)
	wanted, done := strings.Join(e.packages, "\n")+"\n", filepath.Join(e.dir, "installed.txt")
	_, gone := os.Stat(e.python()) // as in a cache that was thinned out
	if there, err := os.ReadFile(done); err != nil || string(there) != wanted || gone != nil {
		if err := cmp.Or(e.mayClear(venv), os.RemoveAll(done)); err != nil {
			return "", err
		}
		for _, args := range [][]string{make, install} {
			if text, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
				if ctx.Err() != nil {
					return "", ctx.Err()
				}
				return "", fmt.Errorf("%w: %s: %w: %s", errAbsent, strings.Join(args[:4], " "), err, text)
			}
		}
		if err := os.WriteFile(done, []byte(wanted), 0o666); err != nil {
			return "", err
		}
	}
	var all []string
	for _, p := range e.packages {
		if name, version, _ := strings.Cut(p, "=="); len(names) == 0 || slices.Contains(names, name) {
			all = append(all, name+" "+version)
		}
	}
	return strings.Join(all, ", ") + "; " + output(ctx, e.python(), "--version"), nil
}

// mayClear makes the folder, and reports a venv in it that is something else, which would be wiped.
func (e *environment) mayClear(venv string) error {
	if err := os.MkdirAll(e.dir, 0o777); err != nil {
		return err
	}
	entries, err := os.ReadDir(venv)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(venv, "pyvenv.cfg")); err != nil {
		return fmt.Errorf("%s holds something that is no virtual environment: move it away, or name another folder", venv)
	}
	return nil
}
