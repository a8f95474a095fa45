package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/adavit/adavit/internal/tools"
)

// ourProgram is the program of this repository, which is one of the servers and the generator of all.
type ourProgram struct {
	path          string
	generatorCPUs string
}

// newProgram finds the program.
func newProgram(ctx context.Context, o options) (*ourProgram, error) {
	if _, err := exec.LookPath("taskset"); err != nil {
		return nil, fmt.Errorf("server and generator are kept on CPUs of their own by taskset (util-linux): %w", err)
	}
	path, err := buildProgram(ctx, o)
	return &ourProgram{path: path, generatorCPUs: o.generatorCPUs}, err
}

// buildProgram builds the program, unless one is named, and returns where it lies.
func buildProgram(ctx context.Context, o options) (string, error) {
	if o.program != "" {
		return o.program, nil
	}
	path := filepath.Join(o.cache, "adavit")
	root := output(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/adavit/adavit")
	if root == "" {
		return "", errors.New("go list does not say where the module github.com/adavit/adavit lies: run this in bench/, " +
			"or name a program by -adavit")
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/adavit")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building adavit: %w\n%s", err, text)
	}
	return path, nil
}

// run runs a command of the program that prints JSON, on some CPUs.
func (a *ourProgram) run(ctx context.Context, cpus string, result any, args ...string) error {
	args = append(args, "--json")
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", cpus, a.path}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = patience
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return fmt.Errorf("adavit %s: %w", strings.Join(args, " "), err)
	}
	if err := json.Unmarshal(out, result); err != nil {
		return fmt.Errorf("adavit %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// load sends requests to a server; capacity asks for rates in multiples of it.
func (a *ourProgram) load(ctx context.Context, url string, capacity bool, rates []float64, d time.Duration,
	more ...string) (r tools.LoadResult, err error) {
	var texts []string
	for _, rate := range rates {
		texts = append(texts, strconv.FormatFloat(rate, 'g', 6, 64))
	}
	args := []string{"bench", "--url", url, "--rate", strings.Join(texts, ","), "--duration", d.String(),
		"--warmup", (d / 5).String()}
	if capacity {
		args = append(args, "--find-capacity")
	}
	err = a.run(ctx, a.generatorCPUs, &r, append(args, more...)...)
	if err == nil && len(r.Rates) != len(rates) {
		err = fmt.Errorf("adavit bench measured %d rates, want %d", len(r.Rates), len(rates))
	}
	return r, err
}

// server is our own, with a bundled model or one in a directory.
func (a *ourProgram) server(model string, more ...string) server {
	if strings.ContainsRune(model, filepath.Separator) {
		model = filepath.Base(model) + "=" + model
	}
	return server{args: func(address string) []string {
		args := append([]string{"serve", "--model", model, "--http", address, "--grpc", "off", "--admin", "off"}, more...)
		return append([]string{a.path}, args...)
	}}
}
