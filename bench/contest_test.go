package main

import (
	"context"
	"math"
	"slices"
	"testing"
)

func TestStatistics(t *testing.T) {
	slow := &entry{rounds: [][]float64{{10, 11, 12}, {20, 22, 24}}}
	fast := &entry{rounds: [][]float64{{5, 5, 5}, {11, 11, 11}}}
	if got := slow.milliseconds(); got != (span{16, 11, 22}) {
		t.Errorf("milliseconds %v", got)
	}
	if got := fast.speedup(slow); got != (span{2, 2, 2.2}) {
		t.Errorf("speed-up %v", got)
	}
}

// TestJudge: a ratio is met or not, and a share of the saving counts what the multiply-adds promise.
func TestJudge(t *testing.T) {
	side := func(who, what, precision string, ms, nominal float64) *entry {
		return &entry{who: who, what: what, precision: precision, rounds: [][]float64{{ms, ms, ms}}, performed: nominal,
			nominal: nominal}
	}
	c := &contest{job: job{threads: 1, batch: 1}, peak: map[string]float64{f32: 1e12, int8Name: 4e12}, entries: []*entry{
		side("adavit", "f32", f32, 10, 4e9), side("adavit", "f32 pruned", f32, 5.2, 2e9),
		side("ONNX Runtime", "f32", f32, 10.5, 0),
		side("adavit", "int8", int8Name, 4, 4e9), side("adavit", "int8 pruned", int8Name, 2.5, 2e9),
		side("ONNX Runtime", "int8", int8Name, 5.2, 0),
	}}
	got := c.judge()
	missing := slices.DeleteFunc(slices.Clone(got), func(v verdict) bool { return v.missing == "" })
	if len(missing) != 1 || missing[0].missing != "adavit bf16" {
		t.Errorf("missing are %v, want bf16 alone", missing)
	}
	got = slices.DeleteFunc(got, func(v verdict) bool { return v.missing != "" })
	want := []bool{false, true, true, true, true, false} // 1.05 < 1.1; 1.3; 2.08; 4.2; 0.96 of the saving; 0.8 of it
	if len(got) != len(want) {
		t.Fatalf("%d verdicts, want %d", len(got), len(want))
	}
	for i, v := range got {
		if v.met != want[i] {
			t.Errorf("%s against %s: met %t, want %t (%.3f)", v.work, v.theirs, v.met, want[i], v.speedup.value)
		}
	}
	if s := got[4].saving.value; math.Abs(s-10/5.2/2) > 1e-12 {
		t.Errorf("share of the saving %v", s)
	}
	if got := c.againstFastest(f32); got != "1.05 (1.05–1.05) ONNX Runtime" {
		t.Errorf("against the fastest peer in f32: %q", got)
	}
	if got := c.againstFastest(bf16); got != "" {
		t.Errorf("against the fastest peer in bf16, which nobody ran: %q", got)
	}
	if s := c.share(c.find("adavit f32")); math.Abs(s-0.8) > 1e-12 { // 8e9 operations in 10 ms of 1e12 a second
		t.Errorf("share of the peak %v, want 0.8", s)
	}
}

func TestCompareLogits(t *testing.T) {
	want := []float32{1, 2, 3, -3, 0, 1}
	for _, c := range []struct {
		name, precision string
		logits          []float32
		top1            int
		fine            bool
	}{
		{"same", f32, want, 2, true},
		{"rounding", f32, []float32{1.0001, 2, 3, -3, 0, 1}, 2, true},
		{"off", f32, []float32{1.01, 2, 3, -3, 0, 1}, 2, false},
		{"bf16", bf16, []float32{1.01, 2, 3, -3, 0, 1}, 2, true},
		{"int8", int8Name, []float32{1, 3, 2.9, -3, 0, 1}, 1, false},
		{"int8 near", int8Name, []float32{1.2, 2.1, 3, -3, 0.1, 1}, 2, true},
		{"short", int8Name, want[:3], 0, false},
		{"NaN", int8Name, []float32{1, 2, float32(math.NaN()), -3, 0, 1}, 0, false},
	} {
		got := compareLogits("side", "reference", c.precision, int8Cosine, c.logits, want, 3)
		if got.fault == "" != c.fine || got.top1 != c.top1 {
			t.Errorf("%s: fault %q, top-1 %d, want fine %t and %d", c.name, got.fault, got.top1, c.fine, c.top1)
		}
	}
}

// TestAvitTiny: the shares fall and have the published mean.
func TestAvitTiny(t *testing.T) {
	shares := avitTiny()
	if depth := mean(shares) * 12; len(shares) != 12 || math.Abs(depth-7.23) > 1e-9 || shares[0] != 1 {
		t.Errorf("%v: mean depth %v", shares, depth)
	}
}

// nothing is a side whose logits are no numbers.
type nothing struct {
	answer int
	closed bool
}

func (*nothing) run(context.Context, float64) ([]float64, error) { return []float64{1, 1, 1}, nil }
func (n *nothing) close()                                        { n.closed = true }
func (n *nothing) logits(context.Context) ([]float32, error) {
	x := make([]float32, n.answer)
	x[0] = float32(math.NaN())
	return x, nil
}

// TestWrongPeerLeaves: a peer that computes something else is left out and named; of ours it is an error.
func TestWrongPeerLeaves(t *testing.T) {
	m := testModel(t)
	m.images = make([]float32, m.params.Config.ImageLen())
	for i := range m.images {
		m.images[i] = float32(i%7) / 7
	}
	bad := &nothing{answer: m.logitsLen()}
	c := &contest{job: job{model: m, threads: 1, batch: 1}, title: "a contest"}
	c.add(&entry{who: "Fake", what: int8Name, precision: int8Name, side: bad})
	var told []string
	shares := slices.Repeat([]float64{1}, m.params.Config.Layers)
	if err := c.check(t.Context(), shares, func(err error) { told = append(told, err.Error()) }); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || len(c.entries) != 0 || !bad.closed || c.missing["Fake int8"] == "" {
		t.Errorf("told %q, %d sides left, closed %v, missing %q", told, len(c.entries), bad.closed, c.missing)
	}
	c.add(&entry{who: oursName, what: int8Name, precision: int8Name, side: bad})
	if err := c.check(t.Context(), shares, func(error) {}); err == nil {
		t.Error("ours is wrong, and that is no error")
	}
}
