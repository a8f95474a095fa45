package halting

import "math"

var _ = Register(Descriptor{
	Name: "token", Order: 2, Summary: "A-ViT: every token halts by its own cumulative score",
	Keys: patchKeys, Tune: "gate_center", TuneRange: aroundCenter, Exit: "exit",
	New:         func(c Config) Scheme { return exiting(c, tokenOf(c), false) },
	NewTraining: func(c Config) Scheme { return exiting(c, tokenOf(c), true) },
	Gate:        cumulativeGate, Reference: true, ONNX: true,
})

// cumulativeGate is the gate of the schemes that add up scores until they reach 1 − ε: what suits one suits another.
const cumulativeGate = "cumulative"

// MaxGate bounds the constants of gates.
const MaxGate = 1e4

// gateKeys are the constants γ, −β and ε of cumulative gates, at the values of A-ViT's released runs.
var gateKeys = []Key{
	{Name: "gate_scale", Text: "gate scale", Default: 10.0, Min: -MaxGate, Max: MaxGate},
	{Name: "gate_center", Text: "gate center", Default: 30.0, Min: -MaxGate, Max: MaxGate},
	{Name: "epsilon", Default: 0.01, Max: 0.5},
}

// patchKeys are the constants of schemes whose patches halt by themselves. credit is λ, by which the class loss reaches
// the patches' gates in training, METHOD.md (45); exit is how sure a prediction has to be to end the image,
// see Exit; 0 is never.
var patchKeys = append(gateKeys[:len(gateKeys):len(gateKeys)],
	Key{Name: "credit", Default: 0.0, Max: 1e3},
	Key{Name: "exit", Default: 0.0, Max: 1},
	registersKey,
)

// registersKey says whether registers halt as other tokens do. Else they run as long as their image.
var registersKey = Key{Name: "registers_halt", Text: "registers halt", Default: false}

// aroundCenter is how far from its place a gate's centre can be tuned: scores are 0 or 1 in float32 long before.
func aroundCenter(now float64) (lo, hi float64) {
	const reach = 100
	return max(now-reach, -MaxGate), min(now+reach, MaxGate)
}

// tokenOf returns the gate of a configuration with gateKeys.
func tokenOf(c Config) Token {
	return Token{float32(c.Number("gate_scale")), float32(c.Number("gate_center")), float32(1 - c.Number("epsilon")),
		c.Switch(registersKey.Name)}
}

// Token is A-ViT's scheme, METHOD.md (4)–(8): a token halts once its cumulative score reaches Threshold = 1 − ε.
type Token struct {
	Scale, Center, Threshold float32
	Registers                bool // they halt, too; else they have no score
}

// Step accumulates scores in float32 as the reference does: a depth must not depend on extra precision.
func (t Token) Step(s *State, r Rows) { t.step(s, r, 0, r.Layer == r.Layers) }

func (t Token) step(s *State, r Rows, first int, last bool) {
	stay := r.Readouts.Registers > 0 && !t.Registers
	for i := first; i < len(r.Token); i++ {
		k := r.Token[i]
		if stay && r.Readouts.Register(k) {
			if r.Score[i], r.Weight[i] = 0, 0; last {
				r.Halt(s, i)
			}
			continue
		}
		h := Sigmoid(t.Scale*r.X[i*r.Stride] - t.Center)
		r.Score[i], r.Weight[i] = h, h
		before := s.Cumulative[k]
		s.Cumulative[k] = before + h
		if last || before+h >= t.Threshold {
			r.halt(s, i, 1-before)
		}
	}
}

// Needs looks at gates alone.
func (Token) Needs(layer, layers int) Needs { return Needs{Halts: layer < layers} }

// Gate returns the constants of the score.
func (t Token) Gate() (scale, center float32) { return t.Scale, t.Center }

// Sigmoid is 1/(1+e^−x), rounded once to float32.
func Sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

// Backward implements Learner, METHOD.md (35) and (36). With r = 1 − Σ_{l<N} h and p[l] = h[l] below N:
//
//	∂loss/∂h[k,l] = prior[l] + (l < N[k]) · (−∂loss/∂r  +  (k is read)·(∂loss/∂p[k,l] − ∂loss/∂p[k,N]))
//	∂loss/∂t[0]   = ∂loss/∂h · scale·h·(1−h)
func (t Token) Backward(dGate, score []float32, depth []int32, up Upstream) {
	n := len(depth)
	clear(dGate)
	for k, d := range depth {
		if !t.Registers && up.Readouts.Register(int32(k)) {
			continue
		}
		field, read := up.Readouts.Field(int32(k))
		end := field
		if read {
			end++
		}
		for l := range int(d) {
			dGate[l*n+k] = t.gradient(up.slope(l, int(d), 1, field, end), score[l*n+k])
		}
	}
}

// gradient returns ∂loss/∂t[0] of a token for ∂loss/∂h.
func (t Token) gradient(dh float64, score float32) float32 {
	h := float64(score)
	return float32(dh * float64(t.Scale) * h * (1 - h))
}

// slope returns ∂loss/∂h[l] where that is the score of n tokens, which halt at index d−1; their mean fields are first …
// end−1.
func (up *Upstream) slope(l, d, n, first, end int) float64 {
	g := float64(n) * up.Score[l]
	if l < d-1 {
		g -= float64(n) * float64(up.Remainder)
		for ; first < end; first++ {
			p := up.Weight[first*len(up.Score):]
			g += float64(p[l] - p[d-1])
		}
	}
	return g
}
