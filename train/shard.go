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

	patches []float32    // [images·P, C·p·p] the pictures cut into patches
	x       [][]float32  // [L+1][T, E] input of each block; x[L] is scratch for the last block's output
	blocks  []activation // [L]
	state   []halting.State
	score   []float32   // [images][L, N] by original place, 0 where a token was gone; later the gates' gradient
	gate    []float32   // [images][L, N] the gates themselves, of a scheme that learns them
	readout [][]float32 // [L][images, Q, E] the tokens that are read after each block, where they were active

	// One on the mean fields o = Σ p[k,l]·t[k,l] of the readouts, or for a scheme that classifies after each block L
	// of them, on the readouts.
	decisions []*decision
	field     []float32 // [images, Q, E] the mean fields so far, where decisions are provisional
	credit    []float32 // [images, N] what the patches were worth in the blocks above, in the backward pass
	dlambda   []float64 // [images, L] PonderNet's ∂loss/∂λ
	scoreSum  []float64 // [L] summed over images and tokens
	totals
}

// totals are what a shard's images come to, summed over them.
type totals struct {
	crossEntropy, distill float64
	apart                 float64 // from the teacher's tokens
	divergence            float64 // PonderNet's KL
	correct               int
	depth                 float64 // of all tokens
	gateGradient          gateGradient
}

// activation is what one block saves. Its input has the rows of all tokens that exist, those that run first in each
// image and in the order of their places. T' is the number of those that run: T, unless some are there for their keys
// and values alone.
type activation struct {
	offset       []int32   // [images+1] image i owns the input's rows offset[i]:offset[i+1]
	run          []int32   // [images+1] and of what runs the rows run[i]:run[i+1]
	some         []int32   // [images+1] run itself, where not all run; else that is offset
	partial      bool      // whether run is some
	token        []int32   // [T] original place of each row
	norm1        []float32 // [T, E]
	mean1, rstd1 []float32 // [T]
	qkv          []float32 // [T, 3E]
	attended     []float32 // [T', E]
	middle       []float32 // [T', E] after the attention's residual
	norm2        []float32 // [T', E]
	mean2, rstd2 []float32 // [T']
	hidden       []float32 // [T', F] before GELU

	half halfActivation // of qkv, attended and hidden, in BF16; then these, and what is of norms, are not there

	drops        bool      // some branches are dropped in this pass
	drop1, drop2 []float32 // [images] factor of each branch then: 0 dropped, 1/keep kept
	score        []float32 // [T']
	weight       []float32 // [T'] p[k,l]
	left         []float32 // [T'] the weight that a token would have had if its image had ended; of provisional decisions
	bias         []float32 // [T] what a key's size adds to its products with the queries; nil where sizes do not count
	merge        *merge    // where rows are merged after the block; nil where they never were
}

// rows is the number of rows that run.
func (a *activation) rows(images int) int { return int(a.run[images]) }

// inputs is the number of rows that exist.
func (a *activation) inputs(images int) int { return int(a.offset[images]) }

// image says which rows are image i's: of what runs lo … hi−1, of the input in … end−1.
func (a *activation) image(i int) (lo, hi, in, end int) {
	return int(a.run[i]), int(a.run[i+1]), int(a.offset[i]), int(a.offset[i+1])
}

func newShard(c vit.Config, p scheme, images int, precision string) *shard {
	p.prior = true // room for every loss: another pass may have one that looks at all scores
	t, e, q := images*c.Tokens(), c.Embed, c.Readouts().Fields()
	s := &shard{
		patches:  make([]float32, images*c.Patches()*c.PatchLen()),
		x:        make([][]float32, c.Layers+1),
		blocks:   make([]activation, c.Layers),
		state:    make([]halting.State, images),
		score:    make([]float32, images*c.Layers*c.Tokens()),
		readout:  make([][]float32, c.Layers),
		scoreSum: make([]float64, c.Layers),
	}
	if p.learner != nil {
		s.gate = make([]float32, len(s.score))
		s.credit = make([]float32, images*c.Tokens())
	}
	for l := range s.blocks {
		s.x[l], s.readout[l] = make([]float32, t*e), make([]float32, images*q*e)
		a := activation{offset: make([]int32, images+1), some: make([]int32, images+1), token: make([]int32, t)}
		inputs := t
		if p.needs[l].Sizes {
			a.bias = make([]float32, t)
		}
		if p.readoutsOnly(l, c.Layers) {
			t = images * q
		}
		if p.provisional() {
			a.left = make([]float32, t)
		}
		if a.middle = make([]float32, t*e); precision == BF16 {
			a.half = newHalfActivation(c, inputs, t)
		} else {
			a.norm1, a.mean1, a.rstd1 = make([]float32, inputs*e), make([]float32, inputs), make([]float32, inputs)
			a.qkv, a.attended, a.norm2 = make([]float32, 3*inputs*e), make([]float32, t*e), make([]float32, t*e)
			a.mean2, a.rstd2, a.hidden = make([]float32, t), make([]float32, t), make([]float32, t*c.Hidden)
		}
		a.drop1, a.drop2 = make([]float32, images), make([]float32, images)
		a.score, a.weight = make([]float32, t), make([]float32, t)
		s.blocks[l] = a
	}
	s.x[c.Layers] = make([]float32, t*e)
	if !p.deep {
		s.decisions = []*decision{newDecision(c, images, make([]float32, images*q*e))}
		return s
	}
	if p.provisional() {
		s.field = make([]float32, images*q*e)
	}
	for l := range c.Layers {
		input := s.readout[l]
		if p.provisional() {
			input = make([]float32, images*q*e)
		}
		s.decisions = append(s.decisions, newDecision(c, images, input))
	}
	s.dlambda = make([]float64, images*c.Layers)
	return s
}

// scratch is a thread's working memory; nothing in it outlives a task.
type scratch struct {
	image     []float32 // [C, H, W]
	branch    []float32 // [T, E] a residual branch, or its gradient
	gelu      []float32 // [T, F]; nil in BF16
	dx        []float32 // [T, E] gradient of a block's output, then of its input; forward, an output that is laid out anew
	dxBelow   []float32 // [T, E] gradient of the input of the block above
	dinput    []float32 // [T, E] gradient of a block's input while that of its output is still wanted
	dnorm     []float32 // [T, E]
	ran       []int32   // [T'] see Observe
	dhidden   []float32 // [T, F]; nil in BF16
	half      halfScratch
	fresh     bool      // the shard is its lane's first
	dqkv      []float32 // [T, 3E]
	attention []float32
	dfield    []float32 // [images, Q, E]
	dfields   []float32 // [L, images, Q, E] of provisional decisions; nil where there are none
	dtokens   []float32 // [images, Q, E] of normalised tokens, where these are pooled
	sum       []float32 // [E]
	dgate     []float32 // [L, N]
	credit    []float32 // [T] what the keys of a block are worth
	dweight   []float32 // [Q, L]
	target    []float64 // [classes]
	series    []float64 // [4, L]
	halting   halting.Scratch
	received  []float32      // [N] halting.Rows.Received
	keys      []float32      // [N, E/H] halting.Rows.Keys
	packed    kernels.Packed // a factor of halting.Rows.Products
	random    *rand.Rand
	source    rand.PCG
}

func newScratch(c vit.Config, p scheme, images int, precision string) *scratch {
	t, e, n, q := images*c.Tokens(), c.Embed, c.Tokens(), c.Readouts().Fields()
	w := &scratch{
		image: make([]float32, c.ImageLen()), branch: make([]float32, t*e),
		dx: make([]float32, t*e), dxBelow: make([]float32, t*e), dinput: make([]float32, t*e), dnorm: make([]float32, t*e),
		dqkv:   make([]float32, 3*t*e),
		dfield: make([]float32, images*q*e), credit: make([]float32, t), dgate: make([]float32, c.Layers*n),
		dweight: make([]float32, q*c.Layers),
		target:  make([]float64, c.Classes), series: make([]float64, 4*c.Layers),
	}
	if precision == BF16 {
		w.half = newHalfScratch(c, t)
	} else {
		w.gelu, w.dhidden = make([]float32, t*c.Hidden), make([]float32, t*c.Hidden)
	}
	d := c.HeadDim()
	w.attention = make([]float32, max(kernels.AttentionScratch(n, d), kernels.AttentionBackwardScratch(n, d)))
	w.received, w.keys = make([]float32, n), make([]float32, n*d)
	if p.provisional() {
		w.dfields = make([]float32, c.Layers*images*q*e)
	}
	if p.pools {
		w.dtokens, w.sum = make([]float32, images*q*e), make([]float32, e)
	}
	w.random = rand.New(&w.source)
	return w
}
