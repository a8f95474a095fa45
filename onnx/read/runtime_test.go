package read

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/adavit/adavit/onnx"
)

// runtime is a Python program that runs ONNX Runtime.
type runtime struct {
	in  *bufio.Writer
	out *bufio.Scanner
}

// startRuntime starts Python, $ADAVIT_PYTHON or python3, if it has ONNX Runtime.
func startRuntime(t *testing.T) *runtime {
	t.Helper()
	python := cmp.Or(os.Getenv("ADAVIT_PYTHON"), "python3")
	if out, err := exec.Command(python, "-c", "import numpy, onnxruntime").CombinedOutput(); err != nil {
		t.Skipf("%s has no ONNX Runtime: %v\n%s", python, err, out)
	}
	cmd := exec.Command(python, "testdata/run.py")
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &runtime{bufio.NewWriter(in), bufio.NewScanner(out)}
}

// logits runs a file on images.
func (r *runtime) logits(t *testing.T, path string, images []float32) (list []float64) {
	t.Helper()
	fmt.Fprintf(r.in, "%s %d\n", path, 4*len(images))
	binary.Write(r.in, binary.LittleEndian, images)
	if err := r.in.Flush(); err != nil || !r.out.Scan() {
		t.Fatalf("%s: no answer (%v)", path, err)
	}
	for _, s := range strings.Fields(r.out.Text()) {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

// TestRuntime runs exports by ONNX Runtime, and what is read of them by our engine and, written again, by ONNX Runtime
// once more.
func TestRuntime(t *testing.T) {
	r := startRuntime(t)
	for _, name := range []string{"timm-legacy", "timm-legacy-steps", "timm-legacy-unfolded", "timm-distilled",
		"timm-rect", "timm-gap", "timm-dynamo", "timm-dynamo-23", "timm-dynamo-raw", "hf-legacy", "hf-distilled", "hf-dynamo",
		"hf-dinov2", "optimum", "torchvision", "hand"} {
		path := filepath.Join(t.TempDir(), name+".onnx")
		if err := os.WriteFile(path, unpacked(t, name+".onnx"), 0o666); err != nil {
			t.Fatal(err)
		}
		m, err := File(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		input := "input.16x16"
		if name == "timm-rect" {
			input = "input.16x24"
		}
		images := expectation(t, input)
		images = images[:m.Model.Params.Config.ImageLen()] // some are for one image
		ours, worst := logits(t, m.Model, images), 0.0
		compare := func(path string) {
			theirs := r.logits(t, path, images)
			for i, v := range ours {
				worst = max(worst, math.Abs(float64(v)-theirs[i]))
			}
		}
		compare(path)
		for _, opset := range []int{onnx.DefaultOpset, onnx.MaxOpset} {
			again := filepath.Join(t.TempDir(), "again.onnx")
			if _, err := onnx.Save(again, m.Model.Params, onnx.Options{Opset: opset}); err != nil {
				t.Fatal(err)
			}
			compare(again)
		}
		t.Logf("%s: largest difference %.2g", name, worst)
		if !(worst <= 1e-5) {
			t.Errorf("%s: differs by %v", name, worst)
		}
	}
}
