package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// fastAPI is a server as people write it (peers/fastapi_server.py): FastAPI on uvicorn with uvloop and httptools,
// Pillow, ONNX Runtime, orjson; in an environment of its own.
type fastAPI struct{ dir, python string }

// fastAPIPackages are what is installed from PyPI; onnx and sympy are what ONNX Runtime's quantisation needs.
var fastAPIPackages = []string{"fastapi==0.165.0", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0",
	"orjson==3.13.0", "pillow==13.0.0", "numpy==2.4.6", "onnxruntime==1.32.0", "onnx==1.23.2", "sympy==1.14.0"}

// prepare makes the environment and returns what is in it. An error that wraps errAbsent means that it cannot be had
// here.
func (f *fastAPI) prepare(ctx context.Context, cache string, log *commandLog) (version string, err error) {
	f.dir = filepath.Join(cache, "fastapi")
	e := &environment{dir: f.dir, packages: fastAPIPackages}
	f.python = e.python()
	for _, program := range []string{"fastapi_server.py", "fastapi_quantize.py"} {
		if _, err := unpack(f.dir, program); err != nil {
			return "", err
		}
	}
	return e.prepare(ctx, log)
}

// quantize writes the model's int8 forms: with scales of activations found while it runs, and found beforehand.
func (f *fastAPI) quantize(ctx context.Context, s *served, log *commandLog) (dynamic, static string, err error) {
	base := strings.TrimSuffix(s.onnx, ".onnx")
	dynamic, static = base+".dynamic.onnx", base+".static.onnx"
	args := []string{f.python, filepath.Join(f.dir, "fastapi_quantize.py"), s.onnx, dynamic, static, s.files,
		filepath.Join(s.pictures, "even")}
	log.add(args...)
	if text, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("quantising %s: %w\n%s", s.onnx, err, text)
	}
	return dynamic, static, nil
}

// setting is a way to spread the work over processes and threads.
type setting struct {
	workers, threads int
	inline           bool // the model runs on the event loop
}

// settings are the sensible ones for so many cores: a process for each, or one whose ONNX Runtime has all.
func settings(cores int) []setting {
	all := []setting{{cores, 1, true}, {cores, 1, false}}
	if cores > 1 {
		all = append(all, setting{1, cores, false})
	}
	return all
}

func (s setting) String() string {
	where := "in threads"
	if s.inline {
		where = "on the event loop"
	}
	return fmt.Sprintf("%s, %s of ONNX Runtime each, model %s", count(s.workers, "worker"), count(s.threads, "thread"),
		where)
}

// server serves a model.
func (f *fastAPI) server(s *served, onnx string, how setting) server {
	inline := "0"
	if how.inline {
		inline = "1"
	}
	return server{
		env: []string{"MODEL=" + onnx, "FILES=" + s.files, "THREADS=" + strconv.Itoa(how.threads), "INLINE=" + inline,
			"OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1"}, // numpy's own
		args: func(address string) []string {
			port := address[strings.LastIndexByte(address, ':')+1:]
			return []string{f.python, "-m", "uvicorn", "--app-dir", f.dir, "fastapi_server:app", "--host", "127.0.0.1",
				"--port", port, "--workers", strconv.Itoa(how.workers), "--loop", "uvloop", "--http", "httptools",
				"--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "600", "--backlog", "4096"}
		},
	}
}
