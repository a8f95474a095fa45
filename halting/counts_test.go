package halting

import (
	"math"
	"slices"
	"testing"
)

// rowsOf returns the rows of an image of n tokens of the given width after a block, with all that schemes may want.
func rowsOf(layer, layers, n, width int) Rows {
	r := Rows{Layer: layer, Layers: layers, Readouts: Readouts{Special: 1, Alone: 1}, Stride: width,
		X: make([]float32, n*width), Previous: make([]float32, n*width),
		Score: make([]float32, n), Weight: make([]float32, n),
		Attention: make([]float32, n), Into: make([]int32, n), Share: make([]float32, n), Products: products}
	for k := range n {
		r.Token = append(r.Token, int32(k))
	}
	return r
}

// products is Rows.Products by plain loops.
func products(dst, a, b []float32, rows, cols, length int) {
	for i := range rows {
		for j := range cols {
			sum := float32(0)
			for k := range length {
				sum += a[i*length+k] * b[j*length+k]
			}
			dst[i*cols+j] = sum
		}
	}
}

func TestConfidence(t *testing.T) {
	for _, c := range []struct {
		threshold float32
		logits    []float32
		stops     bool
	}{
		{0.7, []float32{0, float32(math.Log(3)), -1e9}, true}, // 3/4
		{0.8, []float32{0, float32(math.Log(3)), -1e9}, false},
		{0.3, []float32{5, 5, 5}, true},
		{0.34, []float32{500, 500, 500}, false},
		{0, []float32{1, 2}, true},
		{0, []float32{1, float32(math.NaN())}, false},
	} {
		var st State
		st.Reset(3)
		r := rowsOf(2, 4, 3, 2)
		r.Logits = func() []float32 { return c.logits }
		Confidence{Threshold: c.threshold}.Step(&st, r)
		want := int32(0)
		if c.stops {
			want = 2
		}
		for k := range 3 {
			if st.Depth[k] != want {
				t.Errorf("threshold %v, logits %v: token %d halts after block %d, want %d",
					c.threshold, c.logits, k, st.Depth[k], want)
			}
		}
	}
	if got := (Confidence{}).Needs(4, 4); got.Logits {
		t.Error("block L asks for a prediction that decides nothing")
	}
}

func TestSimilarity(t *testing.T) {
	r := rowsOf(1, 4, 5, 7)
	turn := func(i int, x, previous []float32) {
		copy(r.X[i*7:], x)
		copy(r.Previous[i*7:], previous)
	}
	turn(0, []float32{1, 0, 0, 0, 0, 0, 0}, []float32{0, 0, 0, 0, 0, 0, 3}) // a right angle
	turn(1, []float32{2, 0, 0, 0, 0, 0, 4}, []float32{1, 0, 0, 0, 0, 0, 2}) // the same direction
	turn(2, []float32{3, 0, 0, 0, 0, 0, 4}, []float32{5, 0, 0, 0, 0, 0, 0}) // 0.6
	turn(3, []float32{1, 2, 3, 4, 5, 6, 7}, nil)                            // nothing before
	turn(4, []float32{-1, 1, 1, 1, 1, 1, 1}, []float32{1, 1, 1, 1, 1, 1, 1})
	var st State
	st.Reset(5)
	Similarity{Threshold: 0.6}.Step(&st, r)
	for k, want := range []float64{0, 1, 0.6, 0, 5. / 7} {
		if math.Abs(float64(r.Score[k])-want) > 1e-6 {
			t.Errorf("token %d: cosine %v, want %v", k, r.Score[k], want)
		}
	}
	if want := []int32{0, 1, 1, 0, 1}; !slices.Equal(st.Depth, want) {
		t.Errorf("depths %v, want %v", st.Depth, want)
	}
}

func TestTopK(t *testing.T) {
	for _, c := range []struct {
		keep      float64
		special   int
		attention []float32
		stay      []int32
	}{
		{0.5, 1, []float32{0.9, 0.1, 0.4, 0.2, 0.3}, []int32{0, 2, 4}},
		{0.5, 2, []float32{0, 0, 0.1, 0.2, 0.3}, []int32{0, 1, 3, 4}}, // half of three, rounded up
		{0, 1, []float32{0, 0.1, 0.2, 0.3, 0.1}, []int32{0}},
		{1, 1, []float32{0, 0.1, 0.2, 0.3, 0.1}, []int32{0, 1, 2, 3, 4}},
		{0.25, 1, []float32{0, 0.1, 0.1, 0.1, 0.1}, []int32{0, 1}}, // of equals the earlier
		{0.5, 1, []float32{0, float32(math.NaN()), 0.1, float32(math.NaN()), 0.2}, []int32{0, 2, 4}},
	} {
		var st State
		st.Reset(5)
		r := rowsOf(1, 4, 5, 2)
		r.Readouts.Special, r.Attention = c.special, c.attention
		TopK{Keep: c.keep, Layers: []int{1}}.Step(&st, r)
		var stay []int32
		for k, d := range st.Depth {
			if d == 0 {
				stay = append(stay, int32(k))
			}
		}
		if !slices.Equal(stay, c.stay) {
			t.Errorf("%+v: tokens %v stay", c, stay)
		}
	}
	// Fused: the three that go weigh 2 : 1 : 1, and the first of them stays.
	var st State
	st.Reset(5)
	r := rowsOf(1, 4, 5, 2)
	r.Attention = []float32{0.9, 0.1, 0.4, 0.2, 0.1}
	TopK{Keep: 0.25, Layers: []int{1}, Fuse: true}.Step(&st, r)
	if want := []int32{0, 1, 0, 0, 1}; !slices.Equal(st.Depth, want) {
		t.Errorf("fused: depths %v, want %v", st.Depth, want)
	}
	if want := []int32{0, 3, 2, 3, 3}; !slices.Equal(r.Into, want) {
		t.Errorf("fused: rows go into %v, want %v", r.Into, want)
	}
	for i, want := range []float64{1, 0.25, 1, 0.5, 0.25} {
		if math.Abs(float64(r.Share[i])-want) > 1e-6 {
			t.Errorf("fused: shares %v", r.Share)
		}
	}
	// So little attention that it is none: shares are equal.
	st.Reset(5)
	r.Attention = make([]float32, 5)
	TopK{Keep: 0.5, Layers: []int{1}, Fuse: true}.Step(&st, r)
	if r.Share[3] != 0.5 || r.Share[4] != 0.5 || r.Into[4] != 3 {
		t.Errorf("fused without attention: rows go into %v with %v", r.Into, r.Share)
	}
	// The usual blocks.
	for layers, want := range map[int][]int{12: {4, 7, 10}, 4: {2, 3}, 3: {1}, 2: {1}, 1: nil, 24: {7, 13, 19}} {
		var at []int
		for l := 1; l <= layers; l++ {
			if (TopK{}).Needs(l, layers).Attention {
				at = append(at, l)
			}
		}
		if !slices.Equal(at, want) {
			t.Errorf("of %d blocks tokens go after %v, want %v", layers, at, want)
		}
	}
}

func TestToMe(t *testing.T) {
	// Keys as angles: rows 0 2 4 6 look for mates among 1 3 5.
	angles := []float64{0, 0, 5, 40, 42, 80, 60}
	keys := make([]float32, 2*len(angles))
	for i, a := range angles {
		s, c := math.Sincos(a * math.Pi / 180)
		keys[2*i], keys[2*i+1] = float32(s)*float32(i+1), float32(c)*float32(i+1) // length does not matter
	}
	step := func(merge float64, special int, sizes ...float32) (State, Rows) {
		var st State
		st.Reset(len(angles))
		copy(st.Size, sizes)
		r := rowsOf(1, 4, len(angles), 2)
		r.Readouts.Special, r.Keys, r.KeyLen = special, keys, 2
		ToMe{Merge: merge}.Step(&st, r)
		return st, r
	}
	// The nearest pair is 4 → 3 (2°), then 2 → 1 (5°), then 6 → 3 or 5 (both 20°, the first counts). The class token,
	// row 0, seeks none.
	st, r := step(2, 1)
	if want := []int32{0, 1, 1, 3, 3, 5, 6}; !slices.Equal(r.Into, want) {
		t.Errorf("two merged: rows go into %v, want %v", r.Into, want)
	}
	if want := []int32{0, 0, 1, 0, 1, 0, 0}; !slices.Equal(st.Depth, want) {
		t.Errorf("two merged: depths %v, want %v", st.Depth, want)
	}
	if want := []float32{1, 2, 0, 2, 0, 1, 1}; !slices.Equal(st.Size, want) {
		t.Errorf("two merged: sizes %v, want %v", st.Size, want)
	}
	if want := []float32{1, 0.5, 0.5, 0.5, 0.5, 1, 1}; !slices.Equal(r.Share, want) {
		t.Errorf("two merged: shares %v, want %v", r.Share, want)
	}
	// Means are weighted by sizes; more than half is never merged.
	st, r = step(100, 1, 1, 1, 3, 2, 5, 1, 1)
	if got := st.Size[3] + st.Size[5]; st.Size[1] != 4 || got != 9 || st.Size[3] < 7 {
		t.Errorf("three merged: sizes %v", st.Size)
	}
	if r.Share[1] != 0.25 || r.Share[2] != 0.75 {
		t.Errorf("three merged: shares %v", r.Share)
	}
	// A distillation token, row 1, is no mate, though nearest to row 2, whose next is 35° away: 4 and 6 come before,
	// and two of five is all.
	st, r = step(100, 2)
	want := []int32{0, 1, 2, 3, 3, 5, 3}
	if !slices.Equal(r.Into, want) || st.Depth[0] != 0 || st.Depth[1] != 0 || st.Size[3] != 3 {
		t.Errorf("with two special tokens: rows go into %v, depths %v, sizes %v", r.Into, st.Depth, st.Size)
	}
	// Fractions add up: 2.5 a block are 2, 3, 2, … and none after block L.
	for l, want := range []int{2, 3, 2, 0} {
		if got := (ToMe{Merge: 2.5}).count(l+1, 4, 100, 1); got != want {
			t.Errorf("2.5 a block: %d after block %d, want %d", got, l+1, want)
		}
	}
	for rows, want := range map[int]int{1: 0, 2: 0, 3: 1, 4: 1, 5: 2} {
		if got := (ToMe{Merge: 9}).count(1, 4, rows, 1); got != want {
			t.Errorf("of %d rows %d are merged, want %d", rows, got, want)
		}
	}
	// Keys that are no numbers pair somehow, and nothing breaks.
	for i := range keys {
		keys[i] = float32(math.NaN())
	}
	if st, _ := step(100, 1); st.Depth[0] != 0 {
		t.Errorf("of NaN: depths %v", st.Depth)
	}
}
