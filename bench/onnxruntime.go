package main

import (
	"context"
	"path/filepath"
	"strings"
)

// onnxRuntime is ONNX Runtime (https://onnxruntime.ai) with all its graph optimisations. Its int8 is that of its own
// tools, static or dynamic, whichever is faster.
type onnxRuntime struct{ dir, python string }

func (*onnxRuntime) name() string { return "ONNX Runtime" }

func (*onnxRuntime) precisions() []string { return []string{f32, int8Name} }

func (o *onnxRuntime) prepare(ctx context.Context, w workplace) (string, error) {
	e := runtimesIn(w.venv)
	o.dir, o.python = w.programs, e.python()
	return e.prepare(ctx, w.log, "onnxruntime", "onnx")
}

// onnxFile is where a kind of quantisation lies: static or dynamic.
func onnxFile(m *model, kind string) string { return m.base + "." + kind + ".onnx" }

func (o *onnxRuntime) convert(ctx context.Context, m *model, log *commandLog) error {
	return runLogged(ctx, log, append([]string{o.python, filepath.Join(o.dir, "quantize_onnxruntime.py"), m.onnx,
		onnxFile(m, "dynamic"), onnxFile(m, "static"), m.calibration}, m.shape()...))
}

func (*onnxRuntime) settings(j job, precision string) []string {
	if precision == int8Name {
		return ways(j, "single", "dynamic", "static")
	}
	return ways(j, "single", f32)
}

func (o *onnxRuntime) command(m *model, _, setting string) ([]string, string) {
	file := m.onnx
	if kind, _, _ := strings.Cut(setting, "+"); kind != f32 {
		file = onnxFile(m, kind)
	}
	return []string{o.python, filepath.Join(o.dir, "run_onnxruntime.py")}, file
}
