package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// pyTorch is PyTorch on the CPU in whatever version the system's Python has. Its products are as fast as the BLAS
// library that it finds; Debian's package is content with the reference one, twenty times slower than OpenBLAS, which
// is then taken from Debian into the cache.
type pyTorch struct {
	python, program string
	env             []string // for the program, as arguments of env
}

func (*pyTorch) name() string { return "PyTorch" }

func (*pyTorch) precisions() []string { return []string{f32} }

func (*pyTorch) trains() string { return "train" }

// probe prints PyTorch's version and the BLAS libraries that it has loaded.
const probe = `
import torch, numpy
libraries = {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line}
print(torch.__version__)
print(" ".join(sorted(p for p in libraries if any(n in p.lower() for n in ("libblas", "openblas", "libmkl", "blis")))))
`

func (t *pyTorch) prepare(ctx context.Context, cache string, log *commandLog) (string, error) {
	var problems []error
	// the system's own is where Debian's python3-torch goes
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		text, err := exec.CommandContext(ctx, python, "-c", probe).Output()
		if err != nil {
			problems = append(problems, fmt.Errorf("%s with torch and numpy: %w", python, err))
			continue
		}
		t.python = python
		if t.program, err = unpack(cache, "pytorch.py"); err != nil {
			return "", err
		}
		version, blas, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		if strings.Contains(blas, "libblas") && !strings.Contains(blas, "openblas") {
			if err := t.openBLAS(ctx, filepath.Join(cache, "openblas"), log); err != nil {
				return version + " with the reference BLAS, which is slow (no OpenBLAS: " + oneLine(err.Error()) + ")", nil
			}
			blas = "OpenBLAS"
		}
		return version + ", " + filepath.Base(blas), nil
	}
	return "", fmt.Errorf("%w (Debian: apt install python3-torch): %w", errAbsent, errors.Join(problems...))
}

// openBLAS unpacks Debian's packages into a folder and has the program find them there: the build on OpenMP, whose
// threads are PyTorch's own. With the one on POSIX threads two sets of them wait for each other.
func (t *pyTorch) openBLAS(ctx context.Context, dir string, log *commandLog) error {
	libraries := func() []string {
		found, _ := filepath.Glob(filepath.Join(dir, "usr/lib/*/openblas-openmp")) // the pattern is well formed
		return found
	}
	fetch := []string{"apt-get", "download", "libopenblas0-openmp", "libgfortran5"}
	log.add(fetch...)
	if len(libraries()) == 0 {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
		if err := runIn(ctx, dir, fetch...); err != nil {
			return err
		}
		packages, _ := filepath.Glob(filepath.Join(dir, "*.deb"))
		for _, p := range packages {
			if err := runIn(ctx, dir, "dpkg", "-x", p, "."); err != nil {
				return err
			}
		}
	}
	found := libraries()
	if len(found) == 0 {
		return errors.New("the package holds no library where it should be")
	}
	t.env = []string{"env", "LD_LIBRARY_PATH=" + found[0] + ":" + filepath.Dir(found[0])}
	return nil
}

// runIn runs a program in a folder.
func runIn(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, text)
	}
	return nil
}

func (t *pyTorch) command(m *model, _ string) ([]string, string) {
	return append(t.env[:len(t.env):len(t.env)], t.python, t.program), m.dir
}
