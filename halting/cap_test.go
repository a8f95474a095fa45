package halting

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// journey is an image of random numbers on its way through the blocks of an engine, with or without a cap.
type journey struct {
	scheme   Scheme
	readouts Readouts
	layers   int
	full     bool // tokens go on when all that are read have halted, and block L gets all rows
	numbers  func(layer int, token int32, what int) float32
	width    int
}

// travelled is what came of it.
type travelled struct {
	cost   int
	weight [][]float32 // [L][N]
	state  State
}

// travel takes n tokens through the blocks. look is called after each Enforce with the rows that were alive before it,
// and may be nil.
func (j journey) travel(n, limit int, look func(r Rows, before []int32, s *State)) travelled {
	out := travelled{weight: make([][]float32, j.layers)}
	s := &out.state
	s.Reset(n)
	s.Cap = limit
	r := Rows{Layers: j.layers, Readouts: j.readouts, Stride: j.width, Products: products}
	for k := range n {
		r.Token = append(r.Token, int32(k))
	}
	enforce := func(ran int) {
		before := slices.Clone(s.Depth)
		s.Enforce(r, ran)
		if look != nil {
			look(r, before, s)
		}
	}
	enforce(0)
	for l := 1; l <= j.layers; l++ {
		token := slices.DeleteFunc(slices.Clone(r.Token), func(k int32) bool { return s.Depth[k] != 0 })
		ran := len(token)
		out.cost += ran
		if l == j.layers && !j.full && j.readouts.Pooled == 0 {
			token = slices.DeleteFunc(token, func(k int32) bool { return !j.readouts.Read(k) })
		}
		m := len(token)
		r.Layer, r.Token, r.KeyLen = l, token, 2
		r.X, r.Previous, r.Score, r.Weight = nil, nil, make([]float32, m), make([]float32, m)
		r.Attention, r.Received, r.Keys = make([]float32, m), make([]float32, m), nil
		r.Into, r.Share = make([]int32, m), make([]float32, m)
		r.Logits = func() []float32 { return []float32{j.numbers(l, 0, 8), j.numbers(l, 0, 9)} }
		for i, k := range token {
			for w := range j.width {
				r.X, r.Previous = append(r.X, j.numbers(l, k, w)), append(r.Previous, j.numbers(l-1, k, w))
			}
			r.Keys = append(r.Keys, j.numbers(l, k, 4), j.numbers(l, k, 5))
			r.Attention[i], r.Received[i] = j.numbers(l, k, 6), j.numbers(l, k, 7)
		}
		j.scheme.Step(s, r)
		enforce(ran)
		out.weight[l-1] = make([]float32, n)
		for i, k := range token {
			out.weight[l-1][k] = r.Weight[i]
		}
		if j.readouts.Done(s.Depth) && !j.full {
			break
		}
	}
	return out
}

// drawScheme draws any scheme with any constants that are valid.
func drawScheme(t *rapid.T, layers int) Config {
	c := Config{Scheme: rapid.SampledFrom(Names()).Draw(t, "scheme")}
	d, _ := c.Descriptor()
	for _, k := range d.Keys {
		if !rapid.Bool().Draw(t, "set "+k.Name) {
			continue
		}
		switch k.Default.(type) {
		case float64:
			c = c.With(k.Name, rapid.Float64Range(max(k.Min, -20), min(k.Max, 20)).Draw(t, k.Name))
		case bool:
			c = c.With(k.Name, true)
		case []int:
			c = c.With(k.Name, []int{rapid.IntRange(1, layers).Draw(t, k.Name)})
		}
	}
	return c
}

// drawJourney draws an image of n tokens whose numbers lean to one side, to none, or are no numbers.
func drawJourney(t *rapid.T) (j journey, n int) {
	j = journey{layers: rapid.IntRange(1, 14).Draw(t, "layers"), full: rapid.Bool().Draw(t, "full")}
	j.width = rapid.IntRange(1, 3).Draw(t, "width")
	n = rapid.IntRange(2, 42).Draw(t, "tokens")
	j.readouts = drawReadouts(t, n)
	c := drawScheme(t, j.layers)
	var err error
	if j.scheme, err = New(c); err != nil {
		t.Fatal(err)
	}
	lean := rapid.SampledFrom([]string{"shut", "open", "NaN", "some NaN", "mixed", "mixed"}).Draw(t, "lean")
	seed := rapid.Uint64().Draw(t, "seed")
	j.numbers = func(layer int, token int32, what int) float32 {
		x := seed + uint64(layer)<<40 + uint64(token)<<8 + uint64(what)
		for range 2 {
			x = (x ^ x>>31) * 0x9E3779B97F4A7C15
		}
		v := float32(int32(x>>32)) / (1 << 29) // −4 to 4
		switch {
		case lean == "NaN", lean == "some NaN" && x>>20%4 == 0:
			return float32(math.NaN())
		case lean == "shut":
			return v - 1e6
		case lean == "open":
			return v + 1e6
		}
		return v
	}
	return j, n
}

// sameBits reports whether two rows of numbers are the same, NaN included.
func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })
}

// TestCapHolds: whatever the scheme, the gates, the shape and the cap, an image never costs more, what it is made of
// stays a mean, and tokens go in their order; and a cap that is none, or that allows what the dense model costs,
// changes nothing at all.
func TestCapHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j, n := drawJourney(t)
		dense := n * j.layers
		limit := rapid.IntRange(j.readouts.Least(), dense+5).Draw(t, "cap")
		if rapid.Bool().Draw(t, "tight") {
			limit = min(limit, j.readouts.Least()*j.layers+rapid.IntRange(0, 2*n).Draw(t, "room"))
		}
		got := j.travel(n, limit, func(r Rows, before []int32, s *State) { checkOrder(t, r, before, s) })
		if got.cost > limit {
			t.Fatalf("%T costs %d token-blocks of %d, the cap is %d", j.scheme, got.cost, dense, limit)
		}
		ran := j.readouts.Pooled == 0
		for f := range j.readouts.Fields() {
			k := j.readouts.Place(f)
			depth := got.state.Depth[k]
			if j.readouts.Patch(int32(k)) {
				if depth == NeverRan || got.state.Size[k] == 0 { // counts in no mean, or as another token
					continue
				}
				ran = true
			}
			sum := 0.0
			for l := range got.weight {
				if got.weight[l] != nil {
					sum += float64(got.weight[l][k])
				}
			}
			if depth < 1 || math.Abs(sum-1) > 1e-5 {
				t.Fatalf("%T: token %d is read with weights of %v in all, its depth is %d", j.scheme, k, sum, depth)
			}
		}
		if !ran {
			t.Fatalf("%T: with a cap of %d no patch starts: %v", j.scheme, limit, got.state.Depth)
		}
		free, loose := j.travel(n, 0, nil), j.travel(n, dense+rapid.IntRange(0, 3).Draw(t, "more"), nil)
		sameDepths := slices.Equal(free.state.Depth, loose.state.Depth)
		if !sameDepths || !sameBits(free.state.Remainder, loose.state.Remainder) {
			t.Fatalf("%T: a loose cap changes the depths %v to %v", j.scheme, free.state.Depth, loose.state.Depth)
		}
		for l := range free.weight {
			if !sameBits(free.weight[l], loose.weight[l]) {
				t.Fatalf("%T: a loose cap changes block %d's weights from\n%v to\n%v", j.scheme, l+1,
					free.weight[l], loose.weight[l])
			}
		}
	})
}

// checkOrder holds what Enforce did: of the tokens that no head reads it takes those with the largest cumulative score,
// and the others only with all of them.
func checkOrder(t *rapid.T, r Rows, before []int32, s *State) {
	highest, lowest, stays, endsRead := math.Inf(-1), math.Inf(1), false, 0
	for _, k := range r.Token {
		c := float64(s.Cumulative[k])
		if c != c {
			c = math.Inf(1)
		}
		switch ended := before[k] == 0 && s.Depth[k] != 0; {
		case before[k] != 0:
		case r.Readouts.keeps(k) && ended:
			endsRead++
		case ended:
			lowest = min(lowest, c)
		default:
			stays = true
			if !r.Readouts.keeps(k) {
				highest = max(highest, c)
			}
		}
	}
	if highest > lowest {
		t.Fatalf("after block %d a token of cumulative score %v goes on, one of %v does not", r.Layer, highest, lowest)
	}
	if endsRead > 0 && (stays || r.Layer == 0) {
		t.Fatalf("after block %d a token that is read is made to halt while others go on", r.Layer)
	}
}

// TestCapFadesOut: without any halting, a cap takes half of what is left, block by block, and leaves tokens of every
// part of the image.
func TestCapFadesOut(t *testing.T) {
	j := journey{scheme: None{}, readouts: Readouts{Special: 1, Alone: 1}, layers: 6, width: 1}
	j.numbers = func(int, int32, int) float32 { return 0 }
	var alive []int
	j.travel(101, 6+160, func(r Rows, _ []int32, s *State) {
		if r.Layer == r.Layers {
			return
		}
		if r.Layer == 0 && s.Depth[slices.IndexFunc(s.Depth, func(d int32) bool { return d != 0 })] != NeverRan {
			t.Errorf("depths before block 1: %v", s.Depth)
		}
		n, gap, last := 0, 0, 0
		for k, d := range s.Depth {
			if d == 0 {
				n, gap, last = n+1, max(gap, k-last), k
			}
		}
		alive = append(alive, n)
		if gap > 3*(101/n+1) {
			t.Errorf("after block %d, with %d tokens left, %d in a row are gone", r.Layer, n, gap)
		}
	})
	if want := []int{81, 41, 21, 11, 6, 6}; !slices.Equal(alive, want) { // 160 − 80 − 40 − 20 − 10 − 5 − 5
		t.Errorf("tokens that run in each block: %v, want %v", alive, want)
	}
}

// TestCapOfTokenScores: a forced halt is a halt: the same remainder, to the bit, as if the score had reached 1.
func TestCapOfTokenScores(t *testing.T) {
	j := journey{scheme: Token{Scale: 1, Center: 1.5, Threshold: 0.99}, readouts: Readouts{Special: 2, Alone: 2},
		layers: 8, width: 1}
	j.numbers = func(layer int, token int32, _ int) float32 { return float32(math.Sin(float64(layer*7 + int(token)))) }
	got := j.travel(2, 6, nil) // three blocks of the two readouts
	for k := range 2 {
		h := func(l int) float32 { return Sigmoid(j.numbers(l, int32(k), 0) - 1.5) }
		want, depth, remainder, weight := 1-(h(1)+h(2)), got.state.Depth[k], got.state.Remainder[k], got.weight[2][k]
		if depth != 3 || remainder != want || weight != want {
			t.Errorf("token %d: depth %d, remainder %v, weight %v, want 3 and %v", k, depth, remainder, weight, want)
		}
	}
}

func TestEnforceAllocatesNothing(t *testing.T) {
	const n, layers = 197, 12
	var s State
	r := Rows{Layers: layers, Readouts: Readouts{Special: 1, Alone: 1}, Score: make([]float32, n),
		Weight: make([]float32, n)}
	token := make([]int32, n)
	if allocations := testing.AllocsPerRun(10, func() {
		s.Reset(n)
		s.Cap = 800
		r.Token = token
		for k := range token {
			token[k] = int32(k)
		}
		ran := 0
		for r.Layer = 0; r.Layer <= layers; r.Layer++ {
			if r.Layer > 0 {
				None{}.Step(&s, r)
				ran = len(r.Token)
			}
			s.Enforce(r, ran)
			kept := r.Token[:0]
			for _, k := range r.Token {
				if s.Depth[k] == 0 {
					kept = append(kept, k)
				}
			}
			r.Token = kept
		}
	}); allocations != 0 {
		t.Errorf("%v allocations for an image", allocations)
	}
	if s.spent > 800 || s.spent < 790 {
		t.Errorf("%d token-blocks of a cap of 800", s.spent)
	}
}
