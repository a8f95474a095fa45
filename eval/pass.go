package eval

import (
	"context"
	"math"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/turns"
	"github.com/adavit/adavit/vit"
)

// pass is what a model came to on the first of a calibration's images: for each of them [n] where it could have ended,
// block by block, and last of all where it does if no prediction is sure enough. In a scheme that does not go by
// predictions that is all there is.
type pass [][]end

// end is an image that ends after some block.
type end struct {
	sure   float32 // the largest probability of its prediction there
	class  int     // that is said
	nll    float64 // −log p of the right class
	blocks int     // token-blocks until then
	macs   int64
}

// passKey is what one pass differs in from another.
type passKey struct {
	scheme halting.Scheme // which is never sure
	images int
}

// measure returns what the model with other constants comes to on the first n images. Those that differ in how sure a
// prediction has to be alone (halting.Sure) share a pass, for nothing else depends on it until an image ends.
func (c *calibration) measure(ctx context.Context, h halting.Config, n int) (*outcome, error) {
	scheme, err := halting.New(h)
	if err != nil {
		return nil, err
	}
	s, ok := scheme.(halting.Sure)
	if !ok {
		p, err := c.run(ctx, h, scheme, n, false)
		if err != nil {
			return nil, err
		}
		return p.outcome(c, h, 0), nil
	}
	enough, never := s.Unsure()
	key := passKey{never, n}
	if c.passes[key] == nil {
		p, err := c.run(ctx, h, never, n, true)
		if err != nil {
			return nil, err
		}
		c.passes[key], c.gates[n] = p, append(c.gates[n], h.Number(c.tune))
	}
	return c.passes[key].outcome(c, h, enough), nil
}

// run runs the model with a scheme, that of h but for what may end an image, over the first n images. Where an image
// could have ended before is known of those that are watched.
func (c *calibration) run(ctx context.Context, h halting.Config, scheme halting.Scheme, n int, watched bool) (pass,
	error) {
	m := c.model.WithHalting(h)
	config, begun, p := m.Params.Config, c.done, make(pass, n)
	class := make([]int, config.Classes) // labels are the model's classes already
	for i := range class {
		class[i] = i
	}
	first, size := 0, min(sliceOf(&config, c.Threads), n)
	schemes, which := make([]halting.Scheme, size), make([]int, size) // one for each image of a slice
	for i := range schemes {
		schemes[i], which[i] = scheme, i
		if watched {
			schemes[i] = halting.Watched{Scheme: scheme, Seen: func(sure float32, logits []float32) {
				p[first+i] = append(p[first+i], endOf(sure, logits, c.images.labels[first+i]))
			}}
		}
	}
	e, err := fittedEvaluator(m, c.images, class, Options{Limit: n, Threads: c.Threads, Precision: c.Precision,
		Progress: func(done, _ int) { c.report(begun + done) }, Slice: size,
		Engine: func(*vit.Model) (Engine, error) {
			return infer.New(c.weights, infer.Options{Threads: c.Threads, Schemes: schemes})
		}})
	if err != nil {
		return nil, err
	}
	defer e.engine.Close()
	e.batch = infer.Batch{Scheme: which, Caps: make([]int, size)}
	e.seen = func(int) error {
		for i := range e.done - first {
			last := endOf(0, e.out.Logits[i*config.Classes:(i+1)*config.Classes], e.labels[i])
			p[first+i] = append(p[first+i], last)
			spend(&config, p[first+i], e.out.Active[i*config.Layers:(i+1)*config.Layers])
		}
		first = e.done
		return nil
	}
	if err := runAll(ctx, e); err != nil {
		return nil, err
	}
	c.done += n
	return p, nil
}

// endOf is an end with these logits.
func endOf(sure float32, logits []float32, label int) end {
	best, sum := 0, 0.0
	for j, v := range logits {
		if v > logits[best] {
			best = j
		}
	}
	for _, v := range logits {
		sum += math.Exp(float64(v - logits[best]))
	}
	return end{sure: sure, class: best, nll: math.Log(sum) - float64(logits[label]-logits[best])}
}

// spend says what an image has cost at its ends: after block 1, 2 and so on, and last after all, the tokens in each
// block [L] being what ran.
func spend(c *vit.Config, ends []end, active []int32) {
	blocks := 0
	for l, n := range active {
		blocks += int(n)
		if l < len(ends)-1 {
			ends[l].blocks, ends[l].macs = blocks, c.MACs(active[:l+1])
		}
	}
	last := &ends[len(ends)-1]
	last.blocks, last.macs = blocks, c.MACs(active)
}

// outcome is what the pass comes to with the constants h where a prediction is sure enough from a probability on.
func (p pass) outcome(c *calibration, h halting.Config, enough float32) *outcome {
	o, macs, costs := &outcome{config: h}, int64(0), make([]float64, len(p))
	o.class, o.right = make([]int, len(p)), make([]bool, len(p))
	for i, ends := range p {
		l := 0
		for l < len(ends)-1 && !(ends[l].sure >= enough) {
			l++
		}
		costs[i] = float64(ends[l].blocks)
		macs += ends[l].macs
		o.nll += ends[l].nll
		o.class[i], o.right[i] = ends[l].class, ends[l].class == c.images.labels[i]
		o.blocks += costs[i] // exact: it is a whole number
	}
	n := float64(len(p))
	o.blocks, o.nll, o.macs = o.blocks/n, o.nll/n, float64(macs)/n
	o.mean = o.blocks / float64(c.model.Params.Config.Tokens()*c.model.Params.Config.Layers)
	o.most = turns.Percentile(costs, 95)
	return o
}
