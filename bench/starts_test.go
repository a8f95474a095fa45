package main

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/adavit/adavit/vit"
)

// testModel is a small model of which nothing lies on disk.
func testModel(t *testing.T) *model {
	t.Helper()
	c, err := vit.Variant("micro")
	if err != nil {
		t.Fatal(err)
	}
	return &model{name: "micro", params: vit.Initialize(c, 1, 0), input: "images", onnx: "model.onnx", base: "model"}
}

// TestReportStart: a process is timed until it answers, and one that fails says why. Memory is at least something:
// Linux counts what the parent held when it started the child, which is little in the process that reportStart is for,
// but not in this one.
func TestReportStart(t *testing.T) {
	var out bytes.Buffer
	if err := reportStart(&out, []string{"sh", "-c", "sleep 0.05; echo 7"}); err != nil {
		t.Fatal(err)
	}
	var said startRun
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		t.Fatal(err)
	}
	if said.MS < 50 || said.Answer != "7\n" {
		t.Errorf("%+v, want 7 after more than 50 ms", said)
	}
	if runtime.GOOS == "linux" && said.Peak < 1<<18 {
		t.Errorf("%d bytes resident", said.Peak)
	}
	for command, want := range map[string]string{"echo wrong >&2; exit 3": "wrong", "true": "prints nothing"} {
		if err := reportStart(&out, []string{"sh", "-c", command}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", command, err, want)
		}
	}
}

// TestStarts: sides that say another class in float32 are found out; in other precisions they are reported.
func TestStarts(t *testing.T) {
	side := func(who, what, answer string) *startSide {
		return &startSide{entry: entry{who: who, what: what, precision: what}, args: []string{"echo", answer}}
	}
	ours := `{"images":[{"top":[{"class":7},{"class":1}]}]}`
	s := &starts{model: "deit-small", threads: 2, sides: []*startSide{side(oursName, f32, ours),
		side(oursName, int8Name, ours), side("Fake", f32, "7"), side("Fake", int8Name, "9")}}
	for _, x := range s.sides {
		for round := range 3 {
			if err := x.turn(t.Context(), round > 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.check(); err != nil {
		t.Error(err)
	}
	f := &findings{starts: s, absent: map[string]string{"PyTorch": "too large"}}
	var page bytes.Buffer
	f.writeStarts(&page)
	f.writeClaims(&page)
	for _, want := range []string{"medians of 2", "| Fake | int8 |", "| 9 |", "| PyTorch |  | not measured: too large |",
		"| start to answer, int8 | deit-small | 2 |  | within 120 ms |"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in\n%s", want, &page)
		}
	}
	s.sides[2].class = "8"
	if err := s.check(); err == nil || !strings.Contains(err.Error(), "computes something else") {
		t.Errorf("error %v", err)
	}
	if _, err := classIn(`{"images":[]}`); err == nil {
		t.Error("an answer without a class was taken")
	}
}

// TestPeerCommands: what is run is held to older instructions where it should be, and a batch may be cut up.
func TestPeerCommands(t *testing.T) {
	m := testModel(t)
	held := (&openVINO{dir: "peers", python: "python"}).held("AVX2")
	j := job{m, 2, 4}
	got := strings.Join(peerArgs(held, j, int8Name, held.settings(j, int8Name)[1]), " ")
	want := "env ONEDNN_MAX_CPU_ISA=AVX2 python peers/run_openvino.py model.openvino.int8.xml int8 f32+streams 2 4 images "
	if !strings.HasPrefix(got, want) {
		t.Errorf("got  %s\nwant %s…", got, want)
	}
	if _, file := (&onnxRuntime{}).command(m, int8Name, "static+batch"); file != "model.static.onnx" {
		t.Errorf("ONNX Runtime's static int8 is %s", file)
	}
	if _, file := (&onnxRuntime{}).command(m, f32, "f32+single"); file != "model.onnx" {
		t.Errorf("ONNX Runtime's float32 is %s", file)
	}
}
