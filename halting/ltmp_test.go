package halting

import (
	"math"
	"slices"
	"testing"
)

func TestLTMP(t *testing.T) {
	// Keys as angles: rows 0 2 4 6 look for mates among 1 3 5. The nearest are 2 → 1 (5°), 4 → 3 (2°), 6 → 3 (20°, as
	// far from 5, which comes later).
	angles := []float64{0, 0, 5, 40, 42, 80, 60}
	n, nan := len(angles), float32(math.NaN())
	keys := make([]float32, 2*n)
	for i, a := range angles {
		s, c := math.Sincos(a * math.Pi / 180)
		keys[2*i], keys[2*i+1] = float32(s)*float32(i+1), float32(c)*float32(i+1)
	}
	// Of an even share each, ×7: 2.8 for the class token, then 0.7, 1.4, 0.14, 0.35, 0.77, 0.84.
	received := []float32{0.4, 0.1, 0.2, 0.02, 0.05, 0.11, 0.12}
	for _, c := range []struct {
		name       string
		degrees    float64 // within which tokens are merged
		importance float32
		received   []float32
		special    int
		into       []int32
		depth      []int32
		size       []float32
	}{
		{"nothing", 1, 0, received, 1, []int32{0, 1, 2, 3, 4, 5, 6}, []int32{0, 0, 0, 0, 0, 0, 0}, nil},
		{"merged", 4, 0, received, 1, []int32{0, 1, 2, 3, 3, 5, 6}, []int32{0, 0, 0, 0, 2, 0, 0},
			[]float32{1, 1, 1, 2, 0, 1, 1}},
		{"pruned", 1, 0.75, received, 1, []int32{0, 1, 2, 3, 4, 5, 6}, []int32{0, 2, 0, 2, 2, 0, 0}, nil},
		// What row 2 gets saves row 1, into which it goes; 4 gets too little to save 3.
		{"both", 6, 0.75, received, 1, []int32{0, 1, 1, 3, 3, 5, 6}, []int32{0, 0, 2, 2, 2, 0, 0},
			[]float32{1, 2, 0, 2, 0, 1, 1}},
		{"row 6 saves row 3", 21, 0.8, received, 1, []int32{0, 1, 1, 3, 3, 5, 3}, []int32{0, 0, 2, 0, 2, 2, 2},
			[]float32{1, 2, 0, 3, 0, 1, 0}},
		{"special tokens stay", 6, 99, received, 2, []int32{0, 1, 2, 3, 3, 5, 6}, []int32{0, 0, 2, 2, 2, 2, 2}, nil},
		{"no numbers", 1, 99, []float32{nan, nan, nan, nan, nan, nan, nan}, 1, []int32{0, 1, 2, 3, 4, 5, 6},
			[]int32{0, 0, 0, 0, 0, 0, 0}, nil},
	} {
		var st State
		st.Reset(n)
		r := rowsOf(2, 4, n, 2)
		r.Readouts.Special, r.Keys, r.KeyLen, r.Received = c.special, keys, 2, c.received
		LTMP{float32(math.Cos(c.degrees * math.Pi / 180)), c.importance}.Step(&st, r)
		if !slices.Equal(r.Into, c.into) || !slices.Equal(st.Depth, c.depth) {
			t.Errorf("%s: rows go into %v, depths %v, want %v and %v", c.name, r.Into, st.Depth, c.into, c.depth)
		}
		if c.size != nil && !slices.Equal(st.Size, c.size) {
			t.Errorf("%s: sizes %v, want %v", c.name, st.Size, c.size)
		}
		for i, j := range r.Into {
			if want := 1 / st.Size[j]; r.Share[i] != want {
				t.Errorf("%s: row %d has share %v, want %v", c.name, i, r.Share[i], want)
			}
		}
	}
	// Scores are shares of an even token's attention, of merged rows the largest; a cap ends those first that get least.
	var st State
	st.Reset(n)
	r := rowsOf(2, 4, n, 2)
	r.Keys, r.KeyLen, r.Received = keys, 2, received
	LTMP{float32(math.Cos(math.Pi / 30)), 0}.Step(&st, r)
	for i, want := range []float64{2.8, 1.4, 1.4, 0.35, 0.35, 0.77, 0.84} {
		if math.Abs(float64(r.Score[i])-want) > 1e-6 || st.Cumulative[i] != -r.Score[i] {
			t.Errorf("row %d: score %v, want %v; %v from halting", i, r.Score[i], want, st.Cumulative[i])
		}
	}
	// A class token that is left alone.
	r = rowsOf(2, 4, 1, 2)
	r.Keys, r.KeyLen, r.Received = keys[:2], 2, received[:1]
	if (LTMP{-1, 99}).Step(&st, r); st.Depth[0] != 0 {
		t.Errorf("the class token halts by itself, after block %d", st.Depth[0])
	}
	if (LTMP{}).Needs(4, 4).Received || !(LTMP{}).Needs(4, 4).Sizes {
		t.Error("in block L nothing is decided, and sizes count")
	}
}
