package halting

import (
	"math"
	"testing"
)

// TestExit works METHOD.md (46) out by hand for two tokens that are read and three patches, whose scores are 1/2.
func TestExit(t *testing.T) {
	config := Config{Scheme: "token"}.With("gate_scale", 1).With("gate_center", 0)
	nineTenths := []float32{0, float32(math.Log(9))}
	for _, c := range []struct {
		layer    int
		sure     float64
		training bool
		ends     bool
		score    float32 // of the tokens that are read
	}{
		{2, 0.8, false, true, 0.9},
		{2, 0.95, false, false, 0.9},
		{2, 0.8, true, false, 0},
		{4, 1, false, true, 0},
		{4, 0.8, true, true, 0},
	} {
		build, asked := New, false
		if c.training {
			build = NewTraining
		}
		s, err := build(config.With("exit", c.sure))
		if err != nil {
			t.Fatal(err)
		}
		var st State
		st.Reset(5)
		copy(st.Cumulative, []float32{0, 0, 0.5, 0.25, 0.75})
		r := rowsOf(c.layer, 4, 5, 2)
		clear(r.X)
		r.Readouts = Readouts{Special: 2, Alone: 2}
		r.Logits = func() []float32 { asked = true; return nineTenths }
		s.Step(&st, r)
		if want := s.Needs(c.layer, 4).Logits; asked != want || want != (c.score > 0) {
			t.Errorf("%+v: asked for logits: %v, wanted: %v", c, asked, want)
		}
		// By its scores the third token halts, and the last one; the fourth only with the image.
		weight, remainder := []float32{0, 0, 0.5, 0.5, 0.25}, []float32{0, 0, 0.5, 0, 0.25}
		if c.ends {
			weight, remainder = []float32{1, 1, 0.5, 0.75, 0.25}, []float32{1, 1, 0.5, 0.75, 0.25}
		}
		for k := range 5 {
			score := float32(0.5)
			if k < 2 {
				score = c.score
			}
			near := math.Abs(float64(r.Score[k]-score)) < 1e-6
			if depth := remainder[k] > 0; !near || r.Weight[k] != weight[k] || st.Remainder[k] != remainder[k] ||
				(st.Depth[k] == int32(c.layer)) != depth || !depth && st.Depth[k] != 0 {
				t.Errorf("%+v: token %d has score %v, weight %v, remainder %v, depth %d", c, k, r.Score[k], r.Weight[k],
					st.Remainder[k], st.Depth[k])
			}
		}
	}
	if s, _ := New(config.With("exit", 0.8)); s.Needs(2, 4) != (Needs{Halts: true, Logits: true}) {
		t.Errorf("an exit needs %+v: tokens could not leave before fc2 is complete", s.Needs(2, 4))
	}
}
