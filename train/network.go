// Package train is the mathematics of one training step of an adaptive vision transformer: a ragged forward pass that
// saves what its hand-written backward needs, each layer's backward right below its forward; the losses, each in a
// file of its own with its gradient; AdamW and the moving average of the weights. Package trainer makes a run of
// steps.
//
// Tokens are ragged here as they are at inference: a token that halts after block N[k] has no row in any later block,
// so it costs nothing and its gradient there is zero because it does not exist. A batch is cut into shards of a few
// images whose activations fit the caches. Shards run on any number of threads; gradients are summed in lanes (shard s
// belongs to lane s mod lanes) and the lanes in order, and neither depends on the number of threads, so the bits of a
// run do not either.
//
// Every halting scheme that has something to learn goes through the same pass (see scheme): those that freeze tokens
// have rows of keys and values that do not run, those that merge mix rows after a block, and those that may stop at
// any block classify after each.
//
// Letters in shapes: B images, N tokens an image, T rows (tokens that exist) of a shard in one block, E embedding, F
// hidden, L blocks, Q mean fields (of tokens that are read, by themselves or in the patches' mean), I vectors that the
// heads look at (Q where there is no such mean).
package train

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/vit"
)

const (
	shardRows = 400 // tokens a shard aims at: its widest activation then about fills a 1 MiB L2
	halfRows  = 800 // the same in BF16; with so many, sums over rows pay for being added to gradients
	maxLanes  = 8   // gradient copies, and so the most threads that a backward pass can use
)

// Network runs forward and backward passes over batches for one set of weights. It is not safe for concurrent use.
type Network struct {
	params    *vit.Params
	config    vit.Config
	precision string // F32 or BF16
	reads     halting.Readouts
	scheme    scheme

	patch  linear
	heads  [2]linear // the second is empty in a model without one
	blocks []blockWeights

	matrices  [][][2]int // [L] where the weights of a block's linear maps lie in vit.Params.Data
	shardSize int        // images, the fewest of a shard that is not the last
	largest   int        // and the most where there are enough images for all lanes, if that is more
	capacity  int        // images that the shards have memory for
	shards    []*shard
	lanes     []*vit.Params // gradient of each lane
	scratch   []*scratch    // of each thread

	prior     prior        // of this pass, where the scheme has one
	geometric []float64    // [L] PonderNet's
	gate      gateGradient // of the last step

	// lowest is the first block, counted from 0, whose gradient is wanted: Step leaves those of the blocks before and
	// of the embedding 0. With 0 everything has one, with the number of blocks only the last norm and the heads.
	lowest int

	show func(Observed) // see Observe
}

// linear is y = x·Wᵀ + b, its weights packed for both directions.
type linear struct {
	in       int
	bias     []float32
	forward  kernels.Packed // [in, out] for y
	backward kernels.Packed // [out, in] for dx = dy·W

	forwardHalf, backwardHalf kernels.PackedBF16 // instead, in a block in BF16
}

func (l *linear) pack(w, bias []float32, out, in int) {
	l.in, l.bias = in, bias
	kernels.PackTransposed(&l.forward, w, in, in, out)
	kernels.Pack(&l.backward, w, in, out, in)
}

func (l *linear) packHalf(w, bias []float32, out, in int) {
	l.in, l.bias = in, bias
	kernels.PackBF16(&l.forwardHalf, w, in, in, out)
	kernels.PackRowsBF16(&l.backwardHalf, w, in, out, in)
}

type blockWeights struct{ qkv, proj, fc1, fc2 linear }

// NewNetwork prepares to train params, which stay the caller's: after changing them, or the constants of their
// halting, the next Step takes them up. It computes in F32.
func NewNetwork(params *vit.Params, threads int) (*Network, error) {
	return newNetwork(params, F32, threads)
}

func newNetwork(params *vit.Params, precision string, threads int) (*Network, error) {
	c := params.Config
	if err := CheckPrecision(precision); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if got, want := len(params.Data), c.ParamCount(); got != want { // they may still be in a file: vit.Params.Whole
		return nil, fmt.Errorf("train: %d parameters in memory, but the configuration wants %d", got, want)
	}
	s, err := newScheme(c)
	if err != nil {
		return nil, err
	}
	n := &Network{params: params, config: c, precision: cmp.Or(precision, F32), reads: c.Readouts(), scheme: s,
		blocks: make([]blockWeights, c.Layers), matrices: make([][][2]int, c.Layers)}
	n.shardSize = max(1, shardRows/c.Tokens())
	if n.precision == BF16 {
		n.largest = max(1, halfRows/c.Tokens())
	}
	for _, t := range params.Tensors() {
		if l, ok := blockOf(t.Name); ok && t.Decay {
			n.matrices[l] = append(n.matrices[l], [2]int{t.Offset, t.Offset + len(t.Data)})
		}
	}
	for range max(1, threads) {
		n.scratch = append(n.scratch, newScratch(c, s, max(n.shardSize, n.largest), n.precision))
	}
	return n, nil
}

// Step runs a batch forward and backward and leaves the gradient of the loss in grad, which may hold anything after an
// error.
func (n *Network) Step(b Batch, loss Loss, grad *vit.Params) (Stats, error) {
	return n.step(b, loss, grad, false)
}

// step is Step, or where add is set it adds the gradients. A step over n batches is one of the first kind and then
// those of the second, with a Loss.Scale of 1/n for each; the mean scores that the prior looks at are those of each
// batch by itself.
func (n *Network) step(b Batch, loss Loss, grad *vit.Params, add bool) (Stats, error) {
	stats, up, err := n.forward(b, loss)
	if err != nil {
		return stats, err
	}
	shards := n.active(b.Size)
	lanes := min(len(shards), maxLanes)
	for len(n.lanes) < lanes {
		n.lanes = append(n.lanes, vit.NewParams(n.config))
	}
	errs := make([]error, lanes)
	sums := append([]*vit.Params{grad}, n.lanes[1:lanes]...)
	if add {
		sums[0] = n.lanes[0]
	}
	n.parallel(lanes, func(lane int, w *scratch) {
		g := sums[lane]
		n.clear(g)
		for s := lane; s < len(shards); s += lanes {
			w.fresh = s == lane
			if errs[lane] = b.stopped(); errs[lane] != nil {
				return
			}
			n.backwardShard(shards[s], g, w, up)
		}
	})
	if err := errors.Join(errs...); err != nil {
		return stats, err
	}
	const chunk = 1 << 14
	n.parallel((len(grad.Data)+chunk-1)/chunk, func(i int, _ *scratch) {
		lo, hi := i*chunk, min((i+1)*chunk, len(grad.Data))
		sum := sums[0].Data[lo:hi]
		for _, g := range sums[1:] {
			kernels.Add(sum, g.Data[lo:hi])
		}
		if add {
			kernels.Add(grad.Data[lo:hi], sum)
		}
	})
	if !add {
		n.gate = gateGradient{}
	}
	for _, s := range shards {
		n.gate.scale += s.gateGradient.scale
		n.gate.center += s.gateGradient.center
	}
	return stats, nil
}

// clear makes a lane's gradients 0, but for what its first shard overwrites: in BF16 the weights of linear maps.
func (n *Network) clear(g *vit.Params) {
	at := 0
	if n.precision == BF16 {
		for _, block := range n.matrices[n.lowest:] {
			for _, m := range block {
				clear(g.Data[at:m[0]])
				at = m[1]
			}
		}
	}
	clear(g.Data[at:])
}

func (n *Network) forward(b Batch, loss Loss) (Stats, halting.Upstream, error) {
	if err := errors.Join(loss.Validate(n.config.Layers), b.Check(n.config, loss),
		n.prepare(loss)); err != nil {
		return Stats{}, halting.Upstream{}, err
	}
	n.pack()
	shards := n.active(b.Size)
	errs := make([]error, len(shards))
	n.parallel(len(shards), func(i int, w *scratch) { errs[i] = n.forwardShard(shards[i], b, loss, w) })
	if err := errors.Join(errs...); err != nil {
		return Stats{}, halting.Upstream{}, err
	}
	stats, up := n.losses(shards, b.Size, loss)
	return stats, up, nil
}

// prepare takes up the constants of the model's halting as they are now, and what the loss holds against its scores.
func (n *Network) prepare(loss Loss) error {
	h := n.params.Config.Halting
	if h.Scheme != n.config.Halting.Scheme {
		return fmt.Errorf("train: the halting scheme changed from %q to %q", n.config.Halting.Scheme, h.Scheme)
	}
	n.config.Halting = h
	if err := n.config.Validate(); err != nil {
		return err
	}
	s, err := newScheme(n.config)
	if err != nil {
		return err
	}
	s.prior = loss.Budget == 0 || loss.AlphaPrior > 0
	n.scheme = s
	switch {
	case s.couples():
		n.prior, err = newPrior(n.config.Layers, loss)
	case s.learner != nil:
		n.geometric, err = geometric(cmp.Or(loss.PonderLambda, 1/loss.TargetLayer), n.config.Layers)
	}
	return err
}

// pack lays the current weights out for the kernels, one block a task.
func (n *Network) pack() {
	c, p := n.config, n.params
	n.parallel(c.Layers+1, func(l int, _ *scratch) {
		if l == c.Layers {
			n.patch.pack(p.PatchWeight, p.PatchBias, c.Embed, c.PatchLen())
			n.heads[0].pack(p.HeadWeight, p.HeadBias, c.Classes, c.HeadInputs())
			if c.Classifiers() > 1 {
				n.heads[1].pack(p.HeadDistWeight, p.HeadDistBias, c.Classes, c.Embed)
			}
			return
		}
		w, b, pack := &n.blocks[l], &p.Blocks[l], (*linear).pack
		if n.precision == BF16 {
			pack = (*linear).packHalf
		}
		pack(&w.qkv, b.QKVWeight, b.QKVBias, 3*c.Embed, c.Embed)
		pack(&w.proj, b.ProjWeight, b.ProjBias, c.Embed, c.Embed)
		pack(&w.fc1, b.FC1Weight, b.FC1Bias, c.Hidden, c.Embed)
		pack(&w.fc2, b.FC2Weight, b.FC2Bias, c.Embed, c.Hidden)
	})
}

// active cuts a batch of the given size into shards and returns them; their memory is kept from step to step.
func (n *Network) active(size int) []*shard {
	images := max(n.shardSize, min(n.largest, (size+maxLanes-1)/maxLanes))
	if images > n.capacity {
		n.shards, n.capacity = nil, images
	}
	count := (size + images - 1) / images
	for len(n.shards) < count {
		n.shards = append(n.shards, newShard(n.config, n.scheme, n.capacity, n.precision))
	}
	for i, s := range n.shards[:count] {
		s.first = i * images
		s.images = min(images, size-s.first)
	}
	return n.shards[:count]
}

// parallel runs task 0..count−1 on the network's threads. A panic of a task comes out of it.
func (n *Network) parallel(count int, task func(i int, w *scratch)) {
	parallel.For(len(n.scratch), count, func(worker, i int) { task(i, n.scratch[worker]) })
}
