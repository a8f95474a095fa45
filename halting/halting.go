// Package halting holds the mathematics of adaptive token depth on plain slices: scores, accumulation, remainder, the halting
// distribution, ponder cost and distributional prior, each with its gradient. It knows nothing of the network that makes the tokens.
//
// Let t[k,l] be token k after block l (l = 1..L). Its first number is the gate (A-ViT, Yin et al. 2022, after ACT, Graves 2016):
//
//	h[k,l] = sigmoid(scale·t[k,l][0] − center)     score; in block L the token halts whatever its score
//	c[k,l] = h[k,1] + … + h[k,l]                    cumulative score
//	N[k]   = first l with c[k,l] ≥ 1 − ε            depth, L at most
//	r[k]   = 1 − c[k,N[k]−1]                        remainder
//	p[k,l] = h[k,l] for l < N[k], r[k] at l = N[k]  halting distribution, sums to 1
//
// After block N[k] the token is gone. Layers are counted from 1 in arguments and from 0 in slices.
package halting

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// Policies by their names in config.json.
const (
	PolicyNone  = "none"  // a dense model: every token runs in every block
	PolicyToken = "token" // A-ViT: every token halts by its own cumulative score
)

// Config is the "halting" object of a model's config.json.
type Config struct {
	Policy     string  `json:"policy"`
	GateScale  float64 `json:"gate_scale"`  // γ
	GateCenter float64 `json:"gate_center"` // −β
	Epsilon    float64 `json:"epsilon"`     // ε: a token halts once its cumulative score reaches 1 − ε
}

// Dense returns the configuration of a model without halting.
func Dense() Config { return Config{Policy: PolicyNone} }

// Adaptive reports whether tokens can halt before the last block.
func (c Config) Adaptive() bool { return c.Policy != PolicyNone && c.Policy != "" }

// Validate reports the first constant that makes no sense.
func (c Config) Validate() error {
	switch c.Policy {
	case PolicyNone, "":
		return nil
	case PolicyToken:
	default:
		return fmt.Errorf("halting: policy %q is not known (known: %q, %q)", c.Policy, PolicyToken, PolicyNone)
	}
	for _, v := range []struct {
		name     string
		value    float64
		min, max float64
	}{
		{"gate_scale", c.GateScale, -1e4, 1e4},
		{"gate_center", c.GateCenter, -1e4, 1e4},
		{"epsilon", c.Epsilon, 0, 0.5},
	} {
		if math.IsNaN(v.value) || v.value < v.min || v.value > v.max {
			return fmt.Errorf("halting: %s is %v, want %v to %v", v.name, v.value, v.min, v.max)
		}
	}
	return nil
}

// UnmarshalJSON reads the "halting" object; a key that is not known is an error, since a model that ignored it would give other results.
// Constants that are left out take the values of the paper's released runs: scale 10, center 30, ε 0.01.
func (c *Config) UnmarshalJSON(b []byte) error {
	type plain Config // without this method
	v := plain{Policy: PolicyToken, GateScale: 10, GateCenter: 30, Epsilon: 0.01}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return fmt.Errorf("halting: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("halting: data after the object")
	}
	switch v.Policy {
	case "":
		return fmt.Errorf("halting: policy is empty (known: %q, %q)", PolicyToken, PolicyNone)
	case PolicyNone:
		v = plain(Dense())
	}
	*c = Config(v)
	return c.Validate()
}

// New returns the scheme that a configuration names.
func New(c Config) (Scheme, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if !c.Adaptive() {
		return None{}, nil
	}
	return Token{Scale: float32(c.GateScale), Center: float32(c.GateCenter), Threshold: float32(1 - c.Epsilon)}, nil
}

// Scheme decides after every block which tokens of one image go on. The engines call nothing else, so a new scheme is one new type.
type Scheme interface {
	// Step is called after block r.Layer with the tokens that ran in it. It fills r.Score and r.Weight, updates s, and for every token that
	// halts here sets s.Depth[k] = r.Layer and s.Remainder[k]. In block r.Layers every token halts.
	Step(s *State, r Rows)
}

// Gated is implemented by schemes whose Step looks at nothing of a token but its gate, its first number. An engine may then take halted tokens
// out before their other numbers are known.
type Gated interface {
	Scheme
	Gated()
}

// State is what a scheme remembers of one image between blocks, indexed by a token's original place 0..N−1.
type State struct {
	Cumulative []float32 // [N] c[k,l]
	Remainder  []float32 // [N] r[k], once halted
	Depth      []int32   // [N] N[k]; 0 while the token is active
}

// Reset prepares s for an image of n tokens; it allocates only to grow.
func (s *State) Reset(n int) {
	if cap(s.Depth) < n {
		s.Cumulative, s.Remainder, s.Depth = make([]float32, n), make([]float32, n), make([]int32, n)
	}
	s.Cumulative, s.Remainder, s.Depth = s.Cumulative[:n], s.Remainder[:n], s.Depth[:n]
	clear(s.Cumulative)
	clear(s.Remainder)
	clear(s.Depth)
}

// Rows is one image right after block Layer: its n tokens that ran there.
type Rows struct {
	Layer, Layers int       // this block and the number of blocks; 1-based
	X             []float32 // [n, Stride] token i starts at X[i·Stride]
	Stride        int
	Token         []int32   // [n] original place of each row
	Score         []float32 // [n] out: sigmoid of the gate, block L's too
	Weight        []float32 // [n] out: p[k,l]
}

// None is the dense scheme: all tokens run in all blocks, and the last block's output is what counts (p[k,L] = 1).
type None struct{}

// Step lets every token go on until the last block.
func (None) Step(s *State, r Rows) {
	last := r.Layer == r.Layers
	for i, k := range r.Token {
		r.Score[i], r.Weight[i] = 0, 0
		if last {
			r.Weight[i], s.Remainder[k], s.Depth[k] = 1, 1, int32(r.Layer)
		}
	}
}
