package read

import (
	"math"
	"slices"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
)

// TestOrdered: a graph is the same one in whatever order its nodes stand, and one that can run as it is stays so.
func TestOrdered(t *testing.T) {
	images, want := expectation(t, "input.16x16"), expectation(t, "logits.timm-legacy")
	f, err := parse(unpacked(t, "timm-legacy.onnx"))
	filetest.Check(t, err)
	if !slices.Equal(ordered(f.graph.nodes), f.graph.nodes) {
		t.Error("another order than that of the file, which can run")
	}
	slices.Reverse(f.graph.nodes)
	s := &store{sizes: map[string]int64{}, left: 1 << 24}
	r, err := s.foreign(f, Options{})
	filetest.Check(t, err)
	for i, got := range logits(t, r.Model, images) {
		if math.Abs(float64(got-want[i])) > 1e-5 {
			t.Errorf("logit %d is %v, want %v", i, got, want[i])
		}
	}
	a, b := &node{op: "a", in: []string{"y"}, out: []string{"x"}}, &node{op: "b", in: []string{"x"}, out: []string{"y"}}
	if got := ordered([]*node{a, b, a}); len(got) != 3 {
		t.Errorf("a circle: %d of 3 nodes", len(got))
	}
}
