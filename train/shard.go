package train

import (
	"math/rand/v2"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// shard is a few images on their way through the network, with all that the backward pass wants to see again.
type shard struct {
	first, images int // images first .. first+images−1 of the batch

	patches  []float32    // [images·P, C·p·p] the pictures cut into patches
	x        [][]float32  // [L+1][T, E] input of each block; x[L] is scratch for the last block's output
	blocks   []activation // [L]
	state    []halting.State
	score    []float32   // [images][L, N] by original place, 0 where a token was gone
	readout  [][]float32 // [L][images, Q, E] the readouts (tokens that have a head) after each block, where they were active
	decision *decision   // on the mean fields o = Σ p[k,l]·t[k,l] of the readouts

	crossEntropy, distill float64 // summed over images
	correct               int
	scoreSum              []float64 // [L] summed over images and tokens
}

// activation is what one block saves.
type activation struct {
	offset       []int32   // [images+1] image i owns rows offset[i]:offset[i+1]
	token        []int32   // [T] original place of each row
	norm1        []float32 // [T, E]
	mean1, rstd1 []float32 // [T]
	qkv          []float32 // [T, 3E]
	attended     []float32 // [T, E]
	middle       []float32 // [T, E] after the attention's residual
	norm2        []float32 // [T, E]
	mean2, rstd2 []float32 // [T]
	hidden       []float32 // [T, F] before GELU
	drop1, drop2 []float32 // [images] factor of each branch: 0 dropped, 1/keep kept
	score        []float32 // [T]
	weight       []float32 // [T] p[k,l]
}

func (a *activation) rows(images int) int { return int(a.offset[images]) }

func newShard(c vit.Config, images int) *shard {
	t, e, q := images*c.Tokens(), c.Embed, c.Readouts()
	s := &shard{
		patches:  make([]float32, images*c.Patches()*c.PatchLen()),
		x:        make([][]float32, c.Layers+1),
		blocks:   make([]activation, c.Layers),
		state:    make([]halting.State, images),
		score:    make([]float32, images*c.Layers*c.Tokens()),
		readout:  make([][]float32, c.Layers),
		decision: newDecision(c, images),
		scoreSum: make([]float64, c.Layers),
	}
	for l := range s.blocks {
		s.x[l], s.readout[l] = make([]float32, t*e), make([]float32, images*q*e)
		s.blocks[l] = activation{
			offset: make([]int32, images+1), token: make([]int32, t),
			norm1: make([]float32, t*e), mean1: make([]float32, t), rstd1: make([]float32, t),
			qkv: make([]float32, 3*t*e), attended: make([]float32, t*e), middle: make([]float32, t*e),
			norm2: make([]float32, t*e), mean2: make([]float32, t), rstd2: make([]float32, t),
			hidden: make([]float32, t*c.Hidden), drop1: make([]float32, images), drop2: make([]float32, images),
			score: make([]float32, t), weight: make([]float32, t),
		}
	}
	s.x[c.Layers] = make([]float32, t*e)
	return s
}

// scratch is a thread's working memory; nothing in it outlives a task.
type scratch struct {
	image       []float32 // [C, H, W]
	branch      []float32 // [T, E] a residual branch, or its gradient
	gelu        []float32 // [T, F]
	dx, dxBelow []float32 // [T, E]
	dnorm       []float32 // [T, E]
	dhidden     []float32 // [T, F]
	dqkv        []float32 // [T, 3E]
	attention   []float32
	dfield      []float32 // [images, Q, E]
	dgate       []float32 // [L, N]
	dweight     []float32 // [Q, L]
	target      []float64 // [classes]
	random      *rand.Rand
	source      rand.PCG
}

func newScratch(c vit.Config, images int) *scratch {
	t, e := images*c.Tokens(), c.Embed
	w := &scratch{
		image: make([]float32, c.Channels*c.Height*c.Width), branch: make([]float32, t*e), gelu: make([]float32, t*c.Hidden),
		dx: make([]float32, t*e), dxBelow: make([]float32, t*e), dnorm: make([]float32, t*e),
		dhidden: make([]float32, t*c.Hidden), dqkv: make([]float32, 3*t*e),
		attention: make([]float32, max(kernels.AttentionScratch(c.Tokens(), c.HeadDim()), kernels.AttentionBackwardScratch(c.Tokens(), c.HeadDim()))),
		dfield:    make([]float32, images*c.Readouts()*e), dgate: make([]float32, c.Layers*c.Tokens()), dweight: make([]float32, c.Readouts()*c.Layers),
		target: make([]float64, c.Classes),
	}
	w.random = rand.New(&w.source)
	return w
}
