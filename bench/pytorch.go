package main

import (
	"context"
	"fmt"
	"path/filepath"
)

// pyTorch is PyTorch 2 on the CPU, which PyPI has only with everything for GPUs: six gigabytes.
type pyTorch struct {
	dir, python string
	wanted      bool
}

// torchPackages are what is installed; torchao is where its quantisation has moved.
var torchPackages = []string{"torch==2.15.0", "torchao==0.18.0", "numpy==2.4.6", "setuptools==84.2.1"}

func (*pyTorch) name() string { return "PyTorch" }

func (*pyTorch) precisions() []string { return []string{f32, bf16, int8Name} }

func (t *pyTorch) prepare(ctx context.Context, w workplace) (string, error) {
	if !t.wanted {
		return "", fmt.Errorf("%w: it takes six gigabytes, so it is installed only with -torch", errAbsent)
	}
	e := &environment{dir: filepath.Join(w.venv, "torch"), packages: torchPackages}
	t.dir, t.python = w.programs, e.python()
	return e.prepare(ctx, w.log, "torch", "torchao")
}

func (*pyTorch) convert(context.Context, *model, *commandLog) error { return nil }

func (*pyTorch) settings(_ job, precision string) []string {
	if precision == f32 {
		return []string{"compile", "eager"}
	}
	// In bfloat16 compiling brings a sixth, and the operators of int8 are fused by the compiler alone. Autotuning would
	// bring 6 % in int8 and nothing else, and takes minutes.
	return []string{"compile"}
}

func (t *pyTorch) command(m *model, _, _ string) ([]string, string) {
	return t.start("run_pytorch.py"), m.dir
}

// start is how a program is started; what it compiles is kept, since that takes a minute.
func (t *pyTorch) start(program string) []string {
	return []string{"env", "TORCHINDUCTOR_CACHE_DIR=" + filepath.Join(t.dir, "inductor"), t.python,
		filepath.Join(t.dir, program)}
}

// training is the same program as one that trains.
func (t *pyTorch) training() peer { return &pyTorchTraining{*t} }

// pyTorchTraining runs training steps instead of batches.
type pyTorchTraining struct{ pyTorch }

func (*pyTorchTraining) precisions() []string { return []string{f32, bf16} }

func (*pyTorchTraining) settings(job, string) []string { return []string{"compile", "eager"} }

func (t *pyTorchTraining) command(m *model, _, _ string) ([]string, string) {
	return t.start("train_pytorch.py"), m.dir
}
