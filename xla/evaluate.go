package xla

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck // formulas read as formulas

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/vit"
)

// Runner runs a model's images on Devices; it is an eval.Engine. It is not safe for concurrent use.
type Runner struct {
	devices *Devices
	net     network
	program *program
	weights value
	gates   []float32
	batch   int
	figures []float32 // [batch, classes + N + L]
}

// NewRunner prepares to run so many images at a time, a multiple of the devices' number. Of the options, BF16 counts.
func NewRunner(d *Devices, m *vit.Model, batch int, o Options) (*Runner, error) {
	c := m.Params.Config
	scheme, err := newScheme(c)
	if err != nil {
		return nil, err
	}
	if batch < 1 || batch%d.count != 0 {
		return nil, fmt.Errorf("xla: batches of %d images cannot be divided among %d devices", batch, d.count)
	}
	r := &Runner{devices: d, net: network{config: c, reads: c.Readouts(), scheme: scheme, bf16: o.BF16}, batch: batch}
	r.program, err = d.compile("eval", 2, 3, func(in []*Node) []*Node { return []*Node{r.net.outcomes(in)} })
	if err != nil {
		return nil, err
	}
	if err := r.take(m); err != nil {
		return nil, err
	}
	r.figures = make([]float32, batch*(c.Classes+c.Tokens()+c.Layers))
	return r, nil
}

// runs reports whether m is a model that r can run, with weights and gates of its own.
func (r *Runner) runs(m *vit.Model) bool {
	if r == nil {
		return false
	}
	scheme, err := newScheme(m.Params.Config)
	own, other := r.net.config, m.Params.Config
	own.Halting, own.Labels, other.Halting, other.Labels = halting.Config{}, nil, halting.Config{}, nil
	return err == nil && scheme == r.net.scheme && reflect.DeepEqual(own, other)
}

// take takes up the weights and gates of a model that r can run.
func (r *Runner) take(m *vit.Model) error {
	p, err := m.Params.Whole()
	if err != nil {
		return err
	}
	h := m.Params.Config.Halting
	r.gates = []float32{float32(h.Number("gate_scale")), float32(h.Number("gate_center"))}
	r.weights.free()
	r.weights = copies(r.devices, p.Data, len(p.Data))
	return nil
}

// outcomes builds [B, classes + N + L]: logits where each image stops, the depth of its tokens, and how many ran in
// each block. Inputs are weights [P], gates [2] and images.
func (n *network) outcomes(in []*Node) *Node {
	c := n.config
	w, _ := n.split(in[0])
	gate := func(i int) *Node { return Squeeze(Slice(in[1], AxisElem(i))) }
	f := n.forward(w, in[2], gates{gate(0), gate(1)}, nil, false)
	var answers []*Node
	for _, fields := range f.fields {
		logits, _ := n.head(w, fields)
		answers = append(answers, average(logits))
	}
	stop := n.stops(answers)
	parts := []*Node{final(answers, stop)}
	g, b := in[2].Graph(), in[2].Shape().Dimensions[0]
	if !n.scheme.adaptive {
		return Concatenate(append(parts, BroadcastToDims(Const(g, float32(c.Layers)), b, c.Tokens()),
			BroadcastToDims(Const(g, float32(c.Tokens())), b, c.Layers)), 1)
	}
	end := n.end(f, stop)
	depth := Min(f.depths, end)
	parts = append(parts, depth)
	for l := range c.Layers {
		ran := GreaterThan(depth, Const(g, float32(l)))
		parts = append(parts, ReduceAndKeep(ConvertDType(ran, in[2].DType()), ReduceSum, -1))
	}
	return Concatenate(parts, 1)
}

// end is the block after which each image's logits are known, [B, 1]: where its prediction is sure, or all that is read
// has halted.
func (n *network) end(f forward, stop *Node) *Node {
	if stop != nil {
		return InsertAxes(AddScalar(ConvertDType(stop, f.depths.DType()), 1), -1)
	}
	return ReduceAndKeep(n.readouts(f.depths), ReduceMax, -1)
}

// Run implements eval.Engine.
func (r *Runner) Run(ctx context.Context, b infer.Batch, out *infer.Output) error {
	c := r.net.config
	if b.Caps != nil || b.Scheme != nil || out.Trace != nil {
		return errors.New("xla: images have no caps, schemes or traces here")
	}
	images := len(b.Images) / c.ImageLen()
	resize := func(n int) int { return images * n }
	out.Logits = slices.Grow(out.Logits[:0], resize(c.Classes))[:resize(c.Classes)]
	out.Depth = slices.Grow(out.Depth[:0], resize(c.Tokens()))[:resize(c.Tokens())]
	out.Active = slices.Grow(out.Active[:0], resize(c.Layers))[:resize(c.Layers)]
	for first := 0; first < images; first += r.batch {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.run(b.Images, first, min(first+r.batch, images), out); err != nil {
			return err
		}
	}
	return nil
}

// run runs images first … end−1, with others' rows of zeros where they are fewer than a batch.
func (r *Runner) run(images []float32, first, end int, out *infer.Output) error {
	c := r.net.config
	size := c.ImageLen()
	pixels := images[first*size : end*size]
	if end-first < r.batch {
		pixels = make([]float32, r.batch*size)
		copy(pixels, images[first*size:end*size])
	}
	in := []value{r.weights, copies(r.devices, r.gates, 2), cut(r.devices, pixels, r.batch, c.Channels, c.Height, c.Width)}
	defer in[1].free()
	defer in[2].free()
	result, err := r.program.run(in)
	if err != nil {
		return err
	}
	defer result[0].free()
	if err := result[0].read(r.figures); err != nil {
		return fmt.Errorf("xla: %w", err)
	}
	row := c.Classes + c.Tokens() + c.Layers
	for i := first; i < end; i++ {
		v := r.figures[(i-first)*row:][:row]
		copy(out.Logits[i*c.Classes:], v[:c.Classes])
		for k, depth := range v[c.Classes : c.Classes+c.Tokens()] {
			out.Depth[i*c.Tokens()+k] = int32(depth)
		}
		for l, ran := range v[c.Classes+c.Tokens():] {
			out.Active[i*c.Layers+l] = int32(ran)
		}
	}
	return nil
}

// Close implements eval.Engine.
func (r *Runner) Close() { r.weights.free() }

var _ eval.Engine = (*Runner)(nil)

// evaluated is how many images each device runs at a time where a model is measured.
const evaluated = 64

// Evaluate implements trainer.Evaluator, in float32. On this machine's processor our own engine is the faster one.
func (b *Stepper) Evaluate(ctx context.Context, m *vit.Model, d data.Dataset, o eval.Options) (eval.Result, error) {
	if b.devices.host {
		return eval.Run(ctx, m, d, o)
	}
	o.Slice = evaluated * b.devices.count
	o.Engine = func(m *vit.Model) (eval.Engine, error) {
		if b.runner.runs(m) { // with what was compiled for the epoch before
			return kept{b.runner}, b.runner.take(m)
		}
		r, err := NewRunner(b.devices, m, o.Slice, Options{})
		if err != nil {
			return nil, err
		}
		if b.runner != nil {
			b.runner.Close()
		}
		b.runner = r
		return kept{r}, nil
	}
	return eval.Run(ctx, m, d, o)
}

// kept is a Runner that outlives an evaluation.
type kept struct{ *Runner }

func (kept) Close() {}
