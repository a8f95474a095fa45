package main

import (
	"context"
	"os"
	"path/filepath"
)

// runtimes is the environment of those who run models that others have trained; nncf is OpenVINO's quantisation, onnx
// what ONNX Runtime's needs.
var runtimes = []string{"openvino==2026.4.1", "nncf==3.4.0", "onnxruntime==1.32.0", "onnx==1.23.2",
	"numpy==2.4.6"}

// runtimesIn is that environment below a folder.
func runtimesIn(folder string) *environment {
	return &environment{dir: filepath.Join(folder, "runtimes"), packages: runtimes}
}

// openVINO is OpenVINO (https://docs.openvino.ai), its int8 NNCF's, for which scales are found beforehand.
type openVINO struct {
	dir, python string
	isa         string // what oneDNN is held to, as its variable calls it; "" for all that the machine has
}

// isaVariable is how oneDNN, and with it OpenVINO, is held to older instructions.
const isaVariable = "ONEDNN_MAX_CPU_ISA"

func (*openVINO) name() string { return "OpenVINO" }

func (o *openVINO) precisions() []string {
	if o.isa != "" { // without instructions for bfloat16 it refuses
		return []string{f32, int8Name}
	}
	return []string{f32, bf16, int8Name}
}

func (o *openVINO) prepare(ctx context.Context, w workplace) (string, error) {
	e := runtimesIn(w.venv)
	o.dir, o.python = w.programs, e.python()
	return e.prepare(ctx, w.log, "openvino", "nncf")
}

// held is the same peer, which uses nothing newer than the given instructions.
func (o *openVINO) held(isa string) *openVINO { return &openVINO{o.dir, o.python, isa} }

func openVINOFile(m *model, precision string) string {
	if precision == int8Name {
		return m.base + ".openvino.int8.xml"
	}
	return m.base + ".openvino.f32.xml"
}

func (o *openVINO) convert(ctx context.Context, m *model, log *commandLog) error {
	old, err := filepath.Glob(m.base + ".openvino.*.cache") // of models compiled by an earlier run
	if err != nil {
		return err
	}
	for _, dir := range old {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return runLogged(ctx, log, append([]string{o.python, filepath.Join(o.dir, "quantize_openvino.py"), m.onnx,
		openVINOFile(m, f32), openVINOFile(m, int8Name), m.calibration}, m.shape()...))
}

func (o *openVINO) settings(j job, precision string) []string {
	switch {
	case precision != int8Name:
		return ways(j, "streams", precision)
	case o.isa != "":
		return ways(j, "streams", f32)
	}
	return ways(j, "streams", bf16, f32)
}

func (o *openVINO) command(m *model, precision, _ string) ([]string, string) {
	args := []string{o.python, filepath.Join(o.dir, "run_openvino.py")}
	if o.isa != "" {
		args = append([]string{"env", isaVariable + "=" + o.isa}, args...)
	}
	return args, openVINOFile(m, precision)
}
