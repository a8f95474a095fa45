// Package train learns the weights of an adaptive vision transformer: a ragged forward pass that saves what its hand-written backward
// needs, the losses, AdamW with its schedule, EMA, checkpoints and recipes.
//
// Tokens are ragged here as they are at inference: a token that halts after block N[k] has no row in any later block, so it costs nothing
// and its gradient there is zero because it does not exist. A batch is cut into shards of a few images whose activations fit the caches.
// Shards run on any number of threads; gradients are summed in lanes (shard s belongs to lane s mod lanes) and the lanes in order, and
// neither depends on the number of threads, so the bits of a run do not either.
//
// Letters in shapes: B images, N tokens an image, T rows (tokens that exist) of a shard in one block, E embedding, F hidden, L blocks.
package train

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

const (
	shardRows = 400 // tokens a shard aims at: its widest activation then about fills a 1 MiB L2
	maxLanes  = 8   // gradient copies, and so the most threads that a backward pass can use
)

// Network runs forward and backward passes over batches for one set of weights. It is not safe for concurrent use.
type Network struct {
	params  *vit.Params
	config  vit.Config
	threads int
	scheme  halting.Scheme
	token   halting.Token // the scheme, where it can be learnt

	patch, head, headDist linear // headDist is empty in a model without a second head
	blocks                []blockWeights

	shardSize int
	shards    []*shard
	lanes     []*vit.Params // gradient of each lane
	scratch   []*scratch    // of each thread
}

// linear is a weight matrix packed for both directions.
type linear struct {
	forward  kernels.Packed // [in, out] for y = x·Wᵀ
	backward kernels.Packed // [out, in] for dx = dy·W
}

func (l *linear) pack(w []float32, out, in int) {
	kernels.PackTransposed(&l.forward, w, in, in, out)
	kernels.Pack(&l.backward, w, in, out, in)
}

type blockWeights struct{ qkv, proj, fc1, fc2 linear }

// NewNetwork prepares to train params, which stay the caller's: after changing them, the next Step packs them anew.
func NewNetwork(params *vit.Params, threads int) (*Network, error) {
	c := params.Config
	if err := c.Validate(); err != nil {
		return nil, err
	}
	scheme, err := halting.New(c.Halting)
	if err != nil {
		return nil, err
	}
	n := &Network{params: params, config: c, threads: max(1, threads), scheme: scheme, blocks: make([]blockWeights, c.Layers)}
	n.shardSize = max(1, shardRows/c.Tokens())
	switch s := scheme.(type) {
	case halting.Token:
		n.token = s
	case halting.None:
	default:
		return nil, fmt.Errorf("train: halting policy %q cannot be trained", c.Halting.Policy)
	}
	for range n.threads {
		n.scratch = append(n.scratch, newScratch(c, n.shardSize))
	}
	return n, nil
}

// Forward runs a batch and returns its losses. Outputs of each image are read through Image until the next pass.
func (n *Network) Forward(b Batch, loss Loss) (Stats, error) {
	stats, _, err := n.forward(b, loss)
	return stats, err
}

// Step runs a batch forward and backward and leaves the gradient of the loss in grad.
func (n *Network) Step(b Batch, loss Loss, grad *vit.Params) (Stats, error) {
	return n.step(b, loss, grad, false)
}

// Accumulate is Step, but adds the gradient to grad. A step over n batches is Step for the first and Accumulate for the others, with a
// Loss.Scale of 1/n for each; the mean scores that the prior looks at are then those of each batch by itself.
func (n *Network) Accumulate(b Batch, loss Loss, grad *vit.Params) (Stats, error) {
	return n.step(b, loss, grad, true)
}

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
	n.parallel(lanes, func(lane int, w *scratch) {
		g := n.lanes[lane]
		clear(g.Data)
		for s := lane; s < len(shards); s += lanes {
			n.backwardShard(shards[s], g, w, loss, up)
		}
	})
	const chunk = 1 << 14
	n.parallel((len(grad.Data)+chunk-1)/chunk, func(i int, _ *scratch) {
		lo, hi := i*chunk, min((i+1)*chunk, len(grad.Data))
		sum := n.lanes[0].Data[lo:hi]
		for _, g := range n.lanes[1:lanes] {
			kernels.Add(sum, g.Data[lo:hi])
		}
		if add {
			kernels.Add(grad.Data[lo:hi], sum)
		} else {
			copy(grad.Data[lo:hi], sum)
		}
	})
	return stats, nil
}

func (n *Network) forward(b Batch, loss Loss) (Stats, upstream, error) {
	if err := errors.Join(loss.check(), b.check(n.config.Classes, loss)); err != nil {
		return Stats{}, upstream{}, err
	}
	n.pack()
	shards := n.active(b.Size)
	errs := make([]error, len(shards))
	n.parallel(len(shards), func(i int, w *scratch) { errs[i] = n.forwardShard(shards[i], b, loss, w) })
	if err := errors.Join(errs...); err != nil {
		return Stats{}, upstream{}, err
	}
	return n.losses(shards, b.Size, loss)
}

// pack lays the current weights out for the kernels, one block a task.
func (n *Network) pack() {
	c, p := n.config, n.params
	n.parallel(c.Layers+1, func(l int, _ *scratch) {
		if l == c.Layers {
			n.patch.pack(p.PatchWeight, c.Embed, c.PatchLen())
			n.head.pack(p.HeadWeight, c.Classes, c.Embed)
			if c.Readouts() > 1 {
				n.headDist.pack(p.HeadDistWeight, c.Classes, c.Embed)
			}
			return
		}
		w, b := &n.blocks[l], &p.Blocks[l]
		w.qkv.pack(b.QKVWeight, 3*c.Embed, c.Embed)
		w.proj.pack(b.ProjWeight, c.Embed, c.Embed)
		w.fc1.pack(b.FC1Weight, c.Hidden, c.Embed)
		w.fc2.pack(b.FC2Weight, c.Embed, c.Hidden)
	})
}

// active cuts a batch of the given size into shards and returns them; their memory is kept from step to step.
func (n *Network) active(size int) []*shard {
	count := (size + n.shardSize - 1) / n.shardSize
	for len(n.shards) < count {
		n.shards = append(n.shards, newShard(n.config, n.shardSize))
	}
	for i, s := range n.shards[:count] {
		s.first = i * n.shardSize
		s.images = min(n.shardSize, size-s.first)
	}
	return n.shards[:count]
}

// parallel runs task 0..count−1 on the network's threads. A panic of a task comes out of parallel, in the caller's goroutine, where it can be
// recovered from.
func (n *Network) parallel(count int, task func(i int, w *scratch)) {
	var next atomic.Int64
	var broken atomic.Pointer[any]
	work := func(w *scratch) {
		defer func() {
			if p := recover(); p != nil {
				broken.CompareAndSwap(nil, &p)
			}
		}()
		for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
			task(i, w)
		}
	}
	var wg sync.WaitGroup
	for _, w := range n.scratch[1:min(len(n.scratch), max(1, count))] {
		wg.Go(func() { work(w) })
	}
	work(n.scratch[0])
	wg.Wait()
	if p := broken.Load(); p != nil {
		panic(*p)
	}
}

// Output is what one image of the last batch came to.
type Output struct {
	Logits    []float32 // [classes]
	Depth     []int32   // [N] N[k]
	Remainder []float32 // [N] r[k]
	Score     []float32 // [L,N]
}

// Image returns the output of image i of the last batch; it is valid until the next pass.
func (n *Network) Image(i int) Output {
	s, j := n.shards[i/n.shardSize], i%n.shardSize
	size, classes := n.config.Layers*n.config.Tokens(), n.config.Classes
	return Output{s.decision.logits[j*classes : (j+1)*classes], s.state[j].Depth, s.state[j].Remainder, s.score[j*size : (j+1)*size]}
}
