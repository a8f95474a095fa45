package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestRun runs everything but the peers on the smallest model and reads the report.
func TestRun(t *testing.T) {
	out := filepath.Join(t.TempDir(), "report.md")
	var stdout, stderr bytes.Buffer
	args := []string{"-models", "micro", "-threads", "1,2", "-batches", "1", "-rounds", "2", "-turn", "2ms",
		"-accuracy-images", "30", "-paths", "portable,none-such",
		"-training", "fashion", "-skip", "OpenVINO,ONNX Runtime", "-cache", t.TempDir(), "-out", out}
	if status := run(t.Context(), args, &stdout, &stderr); status != 0 {
		t.Fatalf("status %d: %s", status, stderr.String())
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, stdout.Bytes()) {
		t.Error("the file is not what was printed")
	}
	want := []string{"### micro, 1 thread, batch 1\n", "### micro, 2 threads, batch 1\n", "our portable kernels",
		"none-such kernels was left out", "ONNX Runtime was left out: -skip",
		"| dense f32 | micro | 1 | ONNX Runtime f32 | 1.10 × | not measured: ONNX Runtime was left out: -skip |",
		"| dense int8, one image | micro | 2 | itself on one thread | 90 % of 2 × its speed |",
		"| fashion | 32 | 1 | PyTorch f32 | f32 1.3 × | not measured: PyTorch was left out: not on this machine: it",
		"| adavit int8 pruned |", "| micro, 1 thread, batch 1 | adavit f32 | 0.0e+00 | 1.000000 | 16 of 16 |",
		"| f32, tokens halting | micro | 2 | adavit f32 | 95 % of the saving |",
		"30 test images", "### Training fashion, 2 threads, batch 32\n", "| fashion | 32 | 1 | its own dense step | at most ",
		"| fashion | 32 | 2 | PyTorch's fastest | bf16 1.7 × | not measured: PyTorch was left out", "| adavit bf16 halting |",
		"| micro | f32 |", "products ", "| micro | bf16 | 2 | ", "\n| batch 1 | micro, 1 thread | micro, 2 threads |\n",
		"\n| adavit bf16 × the fastest peer's |", "adavit convert CACHE/models/micro CACHE/models/micro.onnx"}
	if runtime.GOOS == "linux" {
		want = append(want, "| micro | adavit | int8 |")
	}
	for _, w := range want {
		if !strings.Contains(string(text), w) {
			t.Errorf("no %q in the report", w)
		}
	}
	if t.Failed() {
		t.Log(string(text))
	}
	if home, err := os.UserHomeDir(); err == nil && strings.Contains(string(text), home) {
		t.Error("the report names a folder of this machine")
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"-threads", "0"}, {"-threads", ""}, {"-batches", "x"}, {"-rounds", "0"}, {"-turn", "0s"}, {"-models", ","},
		{"extra"}, {"-no-such-flag"}, {"-accuracy-images", "-1"}, {"-skip", "Nobody"}, {"-training", "nothing"},
		{"-serve", "-serve-models", "deit-none"}, {"-overload", "-overload-n", "0"}, {"-serve", "-serve-rounds", "0"},
		{"-serve", "-server-cpus", ""}, {"-overload", "-slo", "0s"},
	} {
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), args, &stdout, &stderr); status != 2 || stderr.Len() == 0 {
			t.Errorf("%q: status %d, %q, want 2 and a message", args, status, stderr.String())
		}
	}
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"-models", "deit-none", "-cache", t.TempDir(), "-skip",
		"OpenVINO,ONNX Runtime"}, &stdout, &stderr); status != 1 || !strings.Contains(stderr.String(), "deit-none") {
		t.Errorf("an unknown model: status %d, %s", status, stderr.String())
	}
}
