package xla

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck // formulas read as formulas

	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// inputs hands out the inputs of a program in their order.
type inputs []*Node

func (in *inputs) next() *Node {
	x := (*in)[0]
	*in = (*in)[1:]
	return x
}

// pass makes the program of forward and backward pass. Its inputs are, alike on all devices, weights [P], knobs, and
// the gradient [P] of the step's passes before it, unless it is the first; and of a batch images, labels, targets,
// factors of branches where paths are dropped, a teacher's logits and tokens where there are any. Its outputs are the
// gradient and the figures.
func (n *network) pass(d *Devices, loss train.Loss, frozen []bool, first bool) (*program, error) {
	prior := make([]float64, n.config.Layers)
	if n.scheme.adaptive {
		var err error
		if prior, err = train.PriorLog(n.config.Layers, loss); err != nil {
			return nil, err
		}
	}
	same, all := 3, 6
	if first {
		same, all = 2, 5
	}
	if loss.DropPath > 0 {
		all++
	}
	if t := loss.Distill; t != nil {
		if all++; t.Tokens > 0 {
			all++
		}
	}
	return d.compile("pass", same, all, func(list []*Node) []*Node {
		in := inputs(list)
		w, tensors := n.split(in.next())
		knobs := in.next()
		knob := func(i int) *Node { return Squeeze(Slice(knobs, AxisElem(i))) }
		var before *Node
		if !first {
			before = in.next()
		}
		e := example{images: in.next(), labels: in.next(), target: in.next()}
		var drops factors
		if loss.DropPath > 0 {
			drops = n.drops(in.next())
		}
		if t := loss.Distill; t != nil {
			if e.logits = in.next(); t.Tokens > 0 {
				e.tokens = in.next()
			}
		}
		gates := gates{knob(knobScale), knob(knobCenter)}
		onlyRead := n.reads.Pooled == 0 && loss.Budget > 0 && loss.AlphaPrior == 0
		f := n.forward(w, e.images, gates, drops, onlyRead)
		out := n.losses(w, f, e, loss, prior, knob(knobAlpha))
		gradient, slopes := n.gradient(Mul(out[figureLoss], knob(knobShare)), tensors, gates, before, frozen)
		out = append(out, slopes...)
		for l := range n.config.Layers {
			score := Const(knobs.Graph(), float32(0))
			if f.scores != nil {
				score = MulScalar(ReduceAllMean(f.scores[l]), 1/float64(n.config.Tokens()))
			}
			out = append(out, score)
		}
		return []*Node{gradient, Stack(append(out, f.needs...), 0)}
	})
}

// drops takes the factors of branches out of [B, L, 2]. In the first block no path is dropped.
func (n *network) drops(x *Node) factors {
	f := make(factors, n.config.Layers)
	for l := 1; l < len(f); l++ {
		for i := range f[l] {
			f[l][i] = Squeeze(Slice(x, AxisRange(), AxisElem(l), AxisElem(i)), 1, 2)
		}
	}
	return f
}

// gradient returns that of loss [P], added to before if that is there; 0 for frozen tensors; and the figures from
// figureScale to figureNorm.
func (n *network) gradient(loss *Node, tensors []*Node, g gates, before *Node, frozen []bool) (*Node, []*Node) {
	zero := Const(loss.Graph(), float32(0))
	var learnt []*Node
	for i, t := range tensors {
		if !frozen[i] {
			learnt = append(learnt, t)
		}
	}
	if n.scheme.adaptive {
		learnt = append(learnt, g.scale, g.center)
	}
	slopes := Gradient(loss, learnt...)
	figures := []*Node{zero, zero, zero}
	if n.scheme.adaptive {
		copy(figures, slopes[len(slopes)-2:])
	}
	flat := make([]*Node, len(tensors))
	offset := 0
	for i, t := range tensors {
		size := t.Shape().Size()
		if frozen[i] {
			flat[i] = BroadcastToDims(zero, size)
		} else {
			flat[i], slopes = Reshape(slopes[0], size), slopes[1:]
			if before != nil {
				flat[i] = Add(flat[i], Slice(before, AxisRange(offset, offset+size)))
			}
			figures[2] = Add(figures[2], ReduceAllSum(Mul(flat[i], flat[i])))
		}
		offset += size
	}
	return Concatenate(flat, 0), figures
}

// Constants of an update, in the order of its last input.
const (
	rateLost = iota // LR·Decay, of tensors that decay
	rateBeta1
	rateRest1 // 1 − β1
	rateBeta2
	rateRest2
	rateScale    // of the gradient
	rateStep     // LR/(1 − β1^s)
	rateVariance // 1/(1 − β2^s)
	rateFollow   // of the average
	rates
)

// adamEps is added to the root of the second moment, METHOD.md (41).
const adamEps = 1e-8

// update makes the program of AdamW's step and the average's, METHOD.md (40)–(42): of weights, both moments, average
// and gradient, [P] each, and constants it makes the first four anew. Frozen tensors keep their bits; pace is what the
// others learn at, see train.Settings.Pace.
func (n *network) update(d *Devices, frozen []bool, pace []float64, averaged bool) (*program, error) {
	return d.compile("update", 6, 6, func(in []*Node) []*Node {
		p, m, v, average, g := in[0], in[1], in[2], in[3], in[4]
		rate := func(i int) *Node { return Squeeze(Slice(in[5], AxisElem(i))) }
		one := Const(p.Graph(), float32(1))
		var keeps, learns, paces []*Node
		for i, t := range vit.NewParams(n.config).Tensors() {
			keep := one
			if t.Decay {
				keep = OneMinus(MulScalar(rate(rateLost), pace[i]))
			}
			learn := Const(p.Graph(), !frozen[i])
			keeps = append(keeps, BroadcastToDims(keep, t.Len()))
			learns = append(learns, BroadcastToDims(learn, t.Len()))
			paces = append(paces, BroadcastToDims(Const(p.Graph(), float32(pace[i])), t.Len()))
		}
		learn := Concatenate(learns, 0)
		g = Mul(g, rate(rateScale))
		m2 := Add(Mul(m, rate(rateBeta1)), Mul(g, rate(rateRest1)))
		v2 := Add(Mul(v, rate(rateBeta2)), Mul(Mul(g, g), rate(rateRest2)))
		by := Div(m2, AddScalar(Sqrt(Mul(v2, rate(rateVariance))), adamEps))
		p2 := Sub(Mul(p, Concatenate(keeps, 0)), Mul(by, Mul(Concatenate(paces, 0), rate(rateStep))))
		out := []*Node{Where(learn, p2, p), Where(learn, m2, m), Where(learn, v2, v), average}
		if averaged {
			out[3] = Where(learn, Add(average, Mul(Sub(p2, average), rate(rateFollow))), average)
		}
		return out
	})
}
