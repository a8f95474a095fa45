package pool

import (
	"errors"
	"fmt"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// Model is a model that a pool runs. It is safe for concurrent use.
type Model struct {
	pool      *Pool
	config    vit.Config
	precision infer.Precision
	schemes   []halting.Scheme
	pass      int     // images in a pass at most
	macs      float64 // of the dense model, for one token-block

	weights *infer.Weights // nil once closed; a worker with a task of the model may read it

	// Under the pool's lock:
	alone   []*seat // at rest, for a worker by itself
	team    []*seat // at rest, for all threads: one at most
	seats   int64   // bytes of all seats, those at work too
	pending int     // tasks that wait or run
	closed  bool
}

// seat is an engine and the memory that a worker needs to run passes on it.
type seat struct {
	engine *infer.Engine // nil before its first use
	batch  infer.Batch   // its Stop is the worker's
	out    infer.Output
	bytes  int64 // as Model.seats counts it
}

// Add packs a model's weights, of which it keeps a copy, in the precision that infer.Resolve makes of the given one. A
// job's Scheme is an index into what infer.Schemes returns.
func (p *Pool) Add(m *vit.Model, precision infer.Precision) (*Model, error) {
	if m == nil || m.Params == nil {
		return nil, errors.New("no model given")
	}
	precision, err := infer.Resolve(precision, m)
	if err != nil {
		return nil, err
	}
	schemes, err := infer.Schemes(m)
	if err != nil {
		return nil, err
	}
	weights, err := infer.PackOptions{Precision: precision, Threads: p.threads}.Pack(m.Params)
	if err != nil {
		return nil, err
	}
	return p.add(weights, schemes)
}

// add is Add for a model that is packed, with its schemes.
func (p *Pool) add(weights *infer.Weights, schemes []halting.Scheme) (*Model, error) {
	m := &Model{pool: p, precision: weights.Precision(), schemes: schemes, weights: weights}
	first, err := m.newEngine(false) // says how large a pass is, and whether the schemes go together
	if err != nil {
		return nil, err
	}
	m.config, m.pass, m.alone = first.Config(), first.PassSize(), []*seat{{engine: first}}
	m.macs = float64(m.config.MACs(nil)) / m.dense()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		first.Close()
		return nil, ErrClosed
	}
	p.models[m] = struct{}{}
	return m, nil
}

// newEngine makes an engine for a worker, or for the team.
func (m *Model) newEngine(shared bool) (*infer.Engine, error) {
	o := infer.Options{Schemes: m.schemes, Embed: m.pool.options.Embed}
	if shared {
		o.Threads = m.pool.team()
	}
	return infer.New(m.weights, o)
}

// rest returns the seats at rest of which a worker takes one.
func (m *Model) rest(shared bool) *[]*seat {
	if shared {
		return &m.team
	}
	return &m.alone
}

// size returns the bytes that the seat has grown to.
func (s *seat) size() int64 {
	b, o, engine := &s.batch, &s.out, int64(0)
	if s.engine != nil {
		engine = s.engine.Bytes()
	}
	return engine + 4*int64(cap(b.Images)+cap(o.Logits)+cap(o.Embeddings)+cap(o.Depth)+cap(o.Active)) +
		8*int64(cap(b.Caps)+cap(b.Scheme)) + int64(cap(o.Stopped))
}

// Close waits for the jobs that wait or run, and frees the model's weights and engines. Jobs that come later fail.
// Other models go on.
func (m *Model) Close() {
	p := m.pool
	p.mu.Lock()
	m.closed = true
	for m.pending > 0 {
		p.moved.Wait()
	}
	seats := append(m.alone, m.team...)
	m.alone, m.team, m.weights, m.seats = nil, nil, nil, 0
	delete(p.models, m)
	p.mu.Unlock()
	for _, s := range seats {
		if s.engine != nil {
			s.engine.Close()
		}
	}
}

// Bytes returns the memory of the model's weights, its engines and their batches: none once it is closed.
func (m *Model) Bytes() int64 {
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	if m.weights == nil {
		return 0
	}
	return m.weights.Bytes() + m.seats
}

// PassSize returns the most images that one pass of a worker holds.
func (m *Model) PassSize() int { return m.pass }

// Precision returns the arithmetic of the model's large products: not infer.Auto, but what that has come to.
func (m *Model) Precision() infer.Precision { return m.precision }

// Config returns the model's configuration.
func (m *Model) Config() vit.Config { return m.config }

// dense returns N·L, the token-blocks that the dense model spends on an image.
func (m *Model) dense() float64 { return float64(m.config.Tokens() * m.config.Layers) }

// checkLimits returns what is wrong with a job's scheme or cap: an engine would refuse the whole pass.
func (m *Model) checkLimits(j *Job) error {
	switch {
	case j.Scheme < 0 || j.Scheme >= len(m.schemes):
		return fmt.Errorf("%w: scheme %d of a model with %d", ErrInput, j.Scheme, len(m.schemes))
	case j.Cap < 0:
		return fmt.Errorf("%w: a cap of %d token-blocks, want 1 or more, or 0 for none", ErrInput, j.Cap)
	}
	return nil
}

// check returns what is wrong with a job.
func (m *Model) check(j *Job) error {
	c := &m.config
	if len(j.Pixels) != c.ImageLen() {
		return fmt.Errorf("%w: %d numbers, want an image of [%d, %d, %d] = %d", ErrInput, len(j.Pixels),
			c.Channels, c.Height, c.Width, c.ImageLen())
	}
	if m.precision != infer.F32 { // where rounding would hide them
		if i := kernels.FirstNotFinite(j.Pixels); i >= 0 {
			return fmt.Errorf("%w: pixel %d is %v, which %s cannot express: want finite numbers", ErrInput, i, j.Pixels[i],
				m.precision)
		}
	}
	return m.checkLimits(j)
}
