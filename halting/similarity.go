package halting

import "math"

var _ = Register(Descriptor{
	Name: "similarity", Order: 7, Summary: "a token halts when it has stopped changing",
	Keys: []Key{{Name: "threshold", Default: 0.98, Min: -1, Max: 1}, registersKey}, // τ, the cosine from which on to halt
	Tune: "threshold",
	New: func(c Config) Scheme {
		return Similarity{float32(c.Number("threshold")), c.Switch(registersKey.Name)}
	},
})

// Similarity halts token k after the first block that has hardly turned it: cos(t[k,l], t[k,l−1]) ≥ Threshold,
// METHOD.md (15). The class token's halt ends the image as always; the readouts' last values are what the heads see.
type Similarity struct {
	Threshold float32
	Registers bool // they halt, too
}

// Step compares every token with what it was. Scores are the cosines, 0 in block L, where nothing depends on them.
func (t Similarity) Step(s *State, r Rows) {
	r.Fill(0, 0)
	if r.Layer == r.Layers {
		r.HaltAll(s)
		return
	}
	width := r.Stride
	for i, k := range r.Token {
		if !t.Registers && r.Readouts.Register(k) {
			continue
		}
		r.Score[i] = cosine(r.X[i*width:(i+1)*width], r.Previous[i*width:(i+1)*width])
		s.Cumulative[k] = r.Score[i]
		if r.Score[i] >= t.Threshold {
			r.Halt(s, i)
		}
	}
}

// Needs asks for what the tokens were.
func (Similarity) Needs(layer, layers int) Needs {
	some := layer < layers
	return Needs{Halts: some, Output: some, Previous: some, Cosines: some}
}

// cosine returns a·b/(|a||b|), 0 if either is nothing. Sums run in four lanes, in an order that the length alone
// decides.
func cosine(a, b []float32) float32 {
	var ab, aa, bb [4]float32
	b = b[:len(a)]
	n := len(a) &^ 3
	for i := 0; i < n; i += 4 {
		x, y := a[i:i+4:i+4], b[i:i+4:i+4]
		ab[0] += x[0] * y[0]
		aa[0] += x[0] * x[0]
		bb[0] += y[0] * y[0]
		ab[1] += x[1] * y[1]
		aa[1] += x[1] * x[1]
		bb[1] += y[1] * y[1]
		ab[2] += x[2] * y[2]
		aa[2] += x[2] * x[2]
		bb[2] += y[2] * y[2]
		ab[3] += x[3] * y[3]
		aa[3] += x[3] * x[3]
		bb[3] += y[3] * y[3]
	}
	for i := n; i < len(a); i++ {
		ab[0] += a[i] * b[i]
		aa[0] += a[i] * a[i]
		bb[0] += b[i] * b[i]
	}
	sizes := float64(aa[0]+aa[1]+aa[2]+aa[3]) * float64(bb[0]+bb[1]+bb[2]+bb[3])
	if sizes == 0 {
		return 0
	}
	return float32(float64(ab[0]+ab[1]+ab[2]+ab[3]) / math.Sqrt(sizes))
}
