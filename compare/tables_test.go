package compare

import (
	"math"
	"testing"
)

// TestEqualTime reads curves by hand-worked cases.
func TestEqualTime(t *testing.T) {
	at := func(speed, top1 float64, reached bool) SweepPoint {
		return SweepPoint{Tuned: Tuned{Reached: reached}, Reached: Reached{Top1: top1},
			Speed: Speed{Batch: speed * 100, BatchSpeedup: speed, Single: speed * 40, SingleSpeedup: speed}}
	}
	run := func(add float64) SchemeRun {
		return SchemeRun{Match: Match{Matched: Reached{Top1: 90 + add}},
			Speed: Speed{Batch: 200, BatchSpeedup: 2, Single: 60, SingleSpeedup: 1.5},
			Sweep: []SweepPoint{at(4, 80+add, true), at(1.25, 92+add, true), at(1, 99, false)}}
	}
	r := Comparison{Sweep: []float64{1}, Schemes: []SchemeResult{{Name: "none", Scheme: "none"},
		{Name: "a", Scheme: "act", Runs: []SchemeRun{run(0), run(1)}}}}
	tables := r.SpeedTables()
	got := tables[1].Rows[0]
	// Between shares of time 0.25 (80.5), 0.5 (90.5) and 0.8 (92.5); 1.5× is 2/3 of the way from 0.5 to 0.8 less 1/9 of
	// it.
	for i, want := range []string{"a", "92.50", "91.61", "90.50", "86.50", "83.83", "80.50"} {
		if got[i].Text != want {
			t.Errorf("column %d: %s, want %s", i, got[i].Text, want)
		}
	}
	if v := tables[0].Rows[0][2].Text; v != "90.50" { // one by one, what is twice as fast in batches is 1.5× as fast
		t.Errorf("one by one: %s, want 90.50", v)
	}
	if v := top1At(r.Schemes[1].curve(r.pacings()[1]), 0.9); !math.IsNaN(v) {
		t.Errorf("beyond the curve: %v", v)
	}
}

func TestSpreads(t *testing.T) {
	s := SchemeResult{Runs: []SchemeRun{{Seconds: 1}, {Seconds: 2}, {Seconds: 6}}}
	if m := s.meanOf(func(r SchemeRun) float64 { return r.Seconds }); m.Mean != 3 ||
		math.Abs(m.Spread-math.Sqrt(7)) > 1e-12 {
		t.Errorf("%+v, want 3 ± √7", m)
	}
	s.Runs = s.Runs[2:]
	if m := s.meanOf(func(r SchemeRun) float64 { return r.Seconds }); m != (Mean{6, 0}) {
		t.Errorf("%+v, want 6", m)
	}
}
