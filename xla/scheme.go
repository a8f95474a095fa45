package xla

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck // formulas read as formulas

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
)

// scheme is a model's halting as its graph knows it: dense, or `token` with whatever that can have.
type scheme struct {
	adaptive  bool
	exit      float64 // how sure a prediction must be to end an image; 0: none ends it, and there is one prediction
	credit    float64 // λ of METHOD.md (45)
	threshold float64 // 1 − ε
	registers bool    // they halt, too
}

// newScheme refuses schemes that there is no graph for.
func newScheme(c vit.Config) (scheme, error) {
	h := c.Halting
	switch h.Scheme {
	case "", halting.Dense().Scheme:
		return scheme{}, nil
	case "token":
		return scheme{adaptive: true, exit: h.Exit(), credit: h.Number("credit"), threshold: 1 - h.Number("epsilon"),
			registers: h.Switch("registers_halt")}, nil
	}
	return scheme{}, fmt.Errorf("xla: halting scheme %q has no graph here, only \"token\" and \"none\" have one: "+
		"train it with adavit itself", h.Scheme)
}

// gates are the constants γ and δ of scores, scalars.
type gates struct{ scale, center *Node }

// forward is what a pass over a batch comes to, before any loss.
type forward struct {
	fields []*Node // [B, Q, E] what is classified: once, or with an exit after every block
	counts []*Node // [L][B] tokens that ran in each block; nil in a dense model
	scores []*Node // [L][B] Σ of their scores
	left   *Node   // [B] Σ r[k]
	depths *Node   // [B, N] N[k]; nil with buckets
	needs  []*Node // [L] rows that some image has in each block; nil but with buckets
}

// forward builds the pass over images [B, C, H, W]. onlyRead says that in block L no score but those of what is read
// counts.
func (n *network) forward(w weights, images *Node, g gates, drops factors, onlyRead bool) forward {
	c := n.config
	var out forward
	s := state{x: n.embed(w, images), place: n.places(images.Graph())}
	b := s.x.Shape().Dimensions[0]
	if n.scheme.adaptive {
		s.alive = BroadcastToDims(Const(images.Graph(), float32(1)), b, c.Tokens())
		s.sum = ZerosLike(s.alive)
		out.left = ReduceSum(s.sum, -1)
	}
	var field *Node
	for l := range c.Layers {
		if n.buckets != nil {
			out.needs = append(out.needs, n.rows(s))
			s = n.narrow(s, n.buckets[l])
		}
		keys := n.keys(s)
		x := s.x
		if n.remat {
			x = x.Checkpoint()
		}
		var drop [2]*Node
		if drops != nil {
			drop = drops[l]
		}
		s.x = n.block(w, fmt.Sprintf("blocks.%d.", l), x, keys, drop)
		if n.remat {
			s.x = s.x.StopCheckpoint()
		}
		if n.scheme.adaptive {
			field = n.halt(&s, &out, g, field, l, onlyRead)
		}
	}
	if n.scheme.adaptive && n.scheme.exit == 0 {
		out.fields = []*Node{field}
	} else if !n.scheme.adaptive {
		out.fields = []*Node{n.readouts(s.x)}
	}
	return out
}

// readouts cuts the rows that are read out of x [B, n, …].
func (n *network) readouts(x *Node) *Node {
	var parts []*Node
	if n.reads.Alone > 0 {
		parts = append(parts, Slice(x, AxisRange(), AxisRange(0, n.reads.Alone)))
	}
	if n.reads.Pooled > 0 {
		parts = append(parts, Slice(x, AxisRange(), AxisRange(n.reads.Special)))
	}
	return Concatenate(parts, 1)
}

// barred is added to the products with a key of a token that has halted: its weight in the softmax is 0 then.
const barred = -1e9

// keys returns what is added to the products with each key, [B, n]; nil where no token ever halts. Credit is the
// straight-through share of a key in what its token has left to live, METHOD.md (44): nothing forward, −λ backward.
func (n *network) keys(s state) *Node {
	if s.alive == nil {
		return nil
	}
	keys := MulScalar(OneMinus(s.alive), barred)
	if n.scheme.credit == 0 {
		return keys
	}
	own := n.from(s.place, n.reads.Special)
	if n.scheme.registers {
		own = n.from(s.place, n.reads.Special-n.reads.Registers)
	}
	spent := Mul(Sub(s.sum, StopGradient(s.sum)), Mul(own, s.alive))
	return Add(keys, MulScalar(spent, -n.scheme.credit))
}

// from is 1 for the places from k on, else 0.
func (n *network) from(place *Node, k int) *Node {
	return ConvertDType(GreaterOrEqual(place, Const(place.Graph(), int32(k))), dtypes.Float32)
}

// gated is 1 for the tokens that have a score, else 0.
func (n *network) gated(place *Node) *Node {
	r := n.reads
	first := 0
	if n.scheme.exit > 0 {
		first = r.Alone
	}
	has := n.from(place, first)
	if r.Registers > 0 && !n.scheme.registers {
		has = Mul(has, OneMinus(Sub(n.from(place, r.Special-r.Registers), n.from(place, r.Special))))
	}
	return has
}

// halt decides after block l (from 0) which tokens go on, METHOD.md (4)–(9), (46) and (53), and returns the mean fields
// so far.
func (n *network) halt(s *state, out *forward, g gates, field *Node, l int, onlyRead bool) *Node {
	last := l == n.config.Layers-1
	gate := Squeeze(Slice(s.x, AxisRange(), AxisRange(), AxisElem(0)), -1)
	score := Mul(Sigmoid(Sub(Mul(gate, g.scale), g.center)), Mul(n.gated(s.place), s.alive))
	sum := Add(s.sum, score)
	halts := s.alive
	if !last {
		reached := GreaterOrEqual(sum, Const(sum.Graph(), float32(n.scheme.threshold)))
		halts = StopGradient(Mul(s.alive, ConvertDType(reached, dtypes.Float32)))
	}
	rest := OneMinus(s.sum)
	weight := Add(Mul(halts, rest), Mul(OneMinus(halts), score))
	counted := score
	if last && onlyRead {
		counted = Mul(score, OneMinus(n.from(s.place, n.reads.Alone)))
	}
	out.scores = append(out.scores, ReduceSum(counted, -1))
	out.counts = append(out.counts, ReduceSum(s.alive, -1))
	out.left = Add(out.left, ReduceSum(Mul(halts, rest), -1))
	if n.buckets == nil {
		if out.depths == nil {
			out.depths = ZerosLike(s.alive)
		}
		out.depths = Add(out.depths, s.alive)
	}

	x := n.readouts(s.x)
	give := func(share *Node) *Node {
		y := Mul(x, InsertAxes(n.readouts(share), -1))
		if field == nil {
			return y
		}
		return Add(field, y)
	}
	switch {
	case n.scheme.exit > 0 && n.reads.Pooled == 0:
		out.fields = append(out.fields, x)
	case n.scheme.exit > 0:
		out.fields = append(out.fields, give(Mul(s.alive, rest)))
	}
	field = give(weight)
	s.sum, s.alive = sum, StopGradient(Mul(s.alive, OneMinus(halts)))
	return field
}
