package xla

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// Options say how a Stepper computes. None of them is part of a recipe: they change last bits, speed and memory.
type Options struct {
	BF16    bool // products of bfloat16 numbers, gradients' too; weights, moments and all else stay float32
	Remat   bool // compute blocks again in the backward pass instead of keeping what they made
	Buckets int  // sizes that the rows of an image are gathered to between blocks, 0: all run, masked
	Threads int  // that load pictures, 1 or more
}

// Stepper takes the steps of a run on Devices; it is a trainer.Backend. It is not safe for concurrent use.
type Stepper struct {
	settings   train.Settings
	options    Options
	devices    *Devices
	params     *vit.Params // the run's start; weights as of fetch
	average    *vit.Params
	frozen     []bool
	steps      int
	controller train.Controller
	gates      train.Gates

	net      network
	schedule *schedule
	passes   map[string]*program // by bucketsKey and whether it is the first of a step
	updates  *program
	// on the devices, [P] each
	weights, moment1, moment2, averages, gradient value
	m, v                                          []float32 // [P] what State gives of the moments
	batch                                         batch
	figures                                       []float32
	runner                                        *Runner // nil before the first evaluation
	fetched                                       bool    // params and average are those of the devices
}

// NewStepper prepares to train p on devices, which stay the caller's, as p does.
func NewStepper(d *Devices, p *vit.Params, s train.Settings, o Options) (*Stepper, error) {
	c := p.Config
	if err := c.Validate(); err != nil {
		return nil, err
	}
	o.BF16 = o.BF16 || s.Precision == train.BF16
	scheme, err := newScheme(c)
	if err != nil {
		return nil, err
	}
	frozen, err := train.Frozen(p, s.Freeze)
	if err != nil {
		return nil, err
	}
	b := &Stepper{settings: s, options: o, devices: d, params: p, average: p.Clone(), frozen: frozen,
		passes: map[string]*program{}, m: make([]float32, len(p.Data)), v: make([]float32, len(p.Data)),
		net: network{config: c, reads: c.Readouts(), scheme: scheme, bf16: o.BF16, remat: o.Remat}}
	if b.schedule, err = newSchedule(c, o.Buckets); err != nil {
		return nil, err
	}
	if s.Budget > 0 {
		if !scheme.adaptive {
			return nil, fmt.Errorf("xla: halting scheme %q has no ponder cost that could keep to a budget", c.Halting.Scheme)
		}
		b.controller = train.NewController()
	}
	if s.LearnGate {
		if b.gates, err = train.NewGates(c.Halting); err != nil {
			return nil, err
		}
		b.gates.Store(b.params, b.average)
	}
	if b.updates, err = b.net.update(d, frozen, s.Pace(p), s.EMA > 0); err != nil {
		return nil, err
	}
	b.batch.random = rand.New(&b.batch.source)
	b.upload()
	return b, nil
}

// upload puts weights, moments and average on the devices.
func (b *Stepper) upload() {
	for _, part := range []struct {
		to   *value
		from []float32
	}{{&b.weights, b.params.Data}, {&b.moment1, b.m}, {&b.moment2, b.v}, {&b.averages, b.average.Data}} {
		part.to.free()
		*part.to = copies(b.devices, part.from, len(part.from))
	}
	b.fetched = true
}

// Step implements trainer.Backend.
func (b *Stepper) Step(u train.Update) (train.Stats, error) {
	loss, d := b.settings.Loss, train.Drawn{}
	if loss.Budget > 0 {
		d = b.controller.Draw(loss, b.steps, u.Progress)
		loss.Multiplier = d.Alpha
	}
	with := d.Shifted(b.params.Config.Halting)
	parts := max(u.Parts, 1)
	var stats train.Stats
	for part := range parts {
		images, err := u.Batch(part)
		if err != nil {
			return train.Stats{}, err
		}
		pass, err := b.pass(images, loss, with, part == 0, 1/float64(parts))
		if err != nil {
			return train.Stats{}, err
		}
		stats.Add(pass, 1/float64(parts))
		if !finite(pass.Loss) {
			return stats, &train.NotFiniteError{Loss: stats.Loss, Norm: math.NaN(), Where: b.whereBad(images)}
		}
	}
	square := float64(b.figures[figureNorm])
	slope := []float32{b.figures[figureScale], b.figures[figureCenter]}
	if b.gates != nil {
		square += float64(slope[0])*float64(slope[0]) + float64(slope[1])*float64(slope[1])
	}
	if stats.GradNorm = math.Sqrt(square); !finite(stats.GradNorm) {
		return stats, &train.NotFiniteError{Loss: stats.Loss, Norm: stats.GradNorm, Where: "first bad tensor: a gradient"}
	}
	if err := b.update(u.LR, stats.GradNorm, slope); err != nil {
		return stats, err
	}
	if loss.Budget > 0 {
		stats.Multiplier, stats.Target = d.Alpha, d.Target()
		b.controller.Observe(stats.MeanDepth/float64(b.params.Config.Layers), d)
	}
	return stats, nil
}

// pass runs a batch forward and backward. The gradient, added to that of the passes before unless it is the first,
// stays on the devices.
func (b *Stepper) pass(images train.Batch, loss train.Loss, with halting.Config, first bool, share float64) (
	st train.Stats, err error) {
	c := b.params.Config
	if err := errors.Join(loss.Validate(c.Layers), images.Check(c, loss)); err != nil {
		return st, err
	}
	if images.Size%b.devices.count != 0 {
		return st, fmt.Errorf("xla: a batch of %d images cannot be divided among %d devices: choose another batch (or "+
			"accumulate)", images.Size, b.devices.count)
	}
	knob := make([]float32, knobs)
	knob[knobShare], knob[knobAlpha] = float32(share), float32(loss.AlphaPonder+loss.Multiplier)
	knob[knobScale], knob[knobCenter] = float32(with.Number("gate_scale")), float32(with.Number("gate_center"))
	in := []value{b.weights, copies(b.devices, knob, knobs)}
	if !first {
		in = append(in, b.gradient)
	}
	own, err := b.load(images, loss)
	if err != nil {
		return st, err
	}
	own = append(own, in[1])
	defer func() {
		for _, v := range own {
			v.free()
		}
	}()
	in = append(in, own[:len(own)-1]...)
	for {
		p, err := b.program(loss, first)
		if err != nil {
			return st, err
		}
		out, err := p.run(in)
		if err != nil {
			return st, err
		}
		b.figures = slices.Grow(b.figures[:0], out[1][0].Size())[:out[1][0].Size()]
		err = out[1].read(b.figures)
		out[1].free()
		if err != nil {
			out[0].free()
			return st, fmt.Errorf("xla: %w", err)
		}
		if b.fit() {
			b.gradient.free()
			b.gradient = out[0]
			break
		}
		out[0].free()
	}
	f := func(i int) float64 { return float64(b.figures[i]) }
	st = train.Stats{Loss: f(figureLoss), CrossEntropy: f(figureCrossEntropy), Distill: f(figureDistill),
		Tokens: f(figureTokens), Ponder: f(figurePonder), Prior: f(figurePrior), MeanDepth: f(figureDepth),
		Correct: int(f(figureCorrect)), LayerScores: make([]float64, c.Layers)}
	for l := range st.LayerScores {
		st.LayerScores[l] = f(figures + l)
	}
	return st, nil
}

// fit reports whether the buckets of the last pass held all rows that it needed, and lets them follow.
func (b *Stepper) fit() bool {
	if b.schedule == nil {
		return true
	}
	needs := make([]int, b.params.Config.Layers)
	for l := range needs {
		needs[l] = int(b.figures[figures+len(needs)+l])
	}
	return b.schedule.fits(needs)
}

// program returns the pass for the buckets as they are, which is made when it is first asked for.
func (b *Stepper) program(loss train.Loss, first bool) (*program, error) {
	net := b.net
	if b.schedule != nil {
		net.buckets = slices.Clone(b.schedule.now)
	}
	key := fmt.Sprint(net.buckets, first)
	p, err := b.passes[key], error(nil)
	if p == nil {
		if p, err = net.pass(b.devices, loss, b.frozen, first); err == nil {
			b.passes[key] = p
		}
	}
	return p, err
}

// update takes AdamW's step.
func (b *Stepper) update(lr, norm float64, slope []float32) error {
	a, follow := b.settings.AdamW(b.steps+1, lr, norm)
	rate := make([]float32, rates)
	for i, v := range []float32{a.LR * float32(b.settings.WeightDecay), a.Beta1, 1 - a.Beta1, a.Beta2, 1 - a.Beta2,
		a.GradScale, a.LR / a.Correction1, 1 / a.Correction2, follow} {
		rate[i] = v
	}
	constants := copies(b.devices, rate, rates)
	defer constants.free()
	state := []*value{&b.weights, &b.moment1, &b.moment2, &b.averages}
	out, err := b.updates.run([]value{b.weights, b.moment1, b.moment2, b.averages, b.gradient, constants})
	if err != nil {
		return err
	}
	for i, v := range state {
		v.free()
		*v = out[i]
	}
	b.gates.Step(a, follow, slope)
	b.gates.Store(b.params, b.average)
	b.steps++
	b.fetched = false
	return nil
}

// fetch brings weights, moments and average back.
func (b *Stepper) fetch() error {
	if b.fetched {
		return nil
	}
	err := errors.Join(b.weights.read(b.params.Data), b.averages.read(b.average.Data), b.moment1.read(b.m),
		b.moment2.read(b.v))
	if err != nil {
		return fmt.Errorf("xla: %w", err)
	}
	b.fetched = true
	return nil
}

// Params implements trainer.Backend.
func (b *Stepper) Params() (weights, average *vit.Params, err error) {
	return b.params, b.average, b.fetch()
}

// Gradient is that of the last step's loss.
func (b *Stepper) Gradient() (*vit.Params, error) {
	g := vit.NewParams(b.params.Config)
	return g, b.gradient.read(g.Data)
}

// State implements trainer.Backend: the tensors of train.Stepper.State.
func (b *Stepper) State() ([]train.Tensor, error) {
	state := []train.Tensor{{Name: "weights", Data: b.params.Data}, {Name: "moment1", Data: b.m},
		{Name: "moment2", Data: b.v}, {Name: "average", Data: b.average.Data}}
	if b.controller.State != nil {
		state = append(state, train.Tensor{Name: "controller", Data: b.controller.State})
	}
	if b.gates != nil {
		state = append(state, train.Tensor{Name: "gates", Data: b.gates})
	}
	return state, b.fetch()
}

// Restore implements trainer.Backend.
func (b *Stepper) Restore(steps int, state []train.Tensor) error {
	own, err := b.State()
	if err != nil {
		return err
	}
	if err := train.Restore(own, state); err != nil {
		return err
	}
	b.gates.Store(b.params, b.average)
	b.steps = steps
	b.upload()
	return nil
}

// Close implements trainer.Backend. The devices stay the caller's.
func (b *Stepper) Close() error {
	for _, v := range []value{b.weights, b.moment1, b.moment2, b.averages, b.gradient} {
		v.free()
	}
	if b.runner != nil {
		b.runner.Close()
	}
	return nil
}

// whereBad says where the first number that is not finite is, as far as it shows from outside of the devices.
func (b *Stepper) whereBad(images train.Batch) string {
	if err := b.fetch(); err != nil {
		return err.Error()
	}
	for _, t := range b.params.Tensors() {
		if at := kernels.FirstNotFinite(t.Data); at >= 0 {
			return fmt.Sprintf("the weights themselves are not finite: %s[%d] is %v", t.Name, at, t.Data[at])
		}
	}
	if at := kernels.FirstNotFinite(b.batch.images); at >= 0 {
		return fmt.Sprintf("image %d of the batch has a pixel of %v", at/b.params.Config.ImageLen(), b.batch.images[at])
	}
	return fmt.Sprintf("weights and the %d pictures are finite", images.Size)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
