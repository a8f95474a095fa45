package infer

import (
	"math"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
)

// Some schemes look at more than the tokens that a block leaves: at what they were before it, at its attention or its keys, or at a prediction
// made from the readouts as they are. Some merge rows. What a scheme needs is known for each block beforehand, and nothing else is computed.

// needs returns what the scheme wants to see after each block [L], and all of that at once.
func needs(s halting.Scheme, layers int) (each []halting.Needs, any halting.Needs) {
	each = make([]halting.Needs, layers)
	for l := range each {
		n := s.Needs(l+1, layers)
		each[l] = n
		any.Previous = any.Previous || n.Previous
		any.Attention = any.Attention || n.Attention
		any.Keys = any.Keys || n.Keys
		any.Logits = any.Logits || n.Logits
		any.Merges = any.Merges || n.Merges
		any.Sizes = any.Sizes || n.Sizes
		any.Frozen = any.Frozen || n.Frozen
		any.Halts = any.Halts || n.Halts && l+1 < layers
		any.Output = any.Output || n.Output && l+1 < layers
	}
	return each, any
}

// sight is the memory that a worker needs for what the scheme looks at; slices that it does not need are nil.
type sight struct {
	previous  []float32 // [T, E] the tokens before the block
	attention []float32 // [N] of one image
	room      []float32 // [N]
	keys      []float32 // [N, E/H] of one image
	field     []float32 // [Q, E] the readouts' rows of one image, then normalised
	logits    []float32 // [classes]
	second    []float32 // [classes] of the second head
	into      []int32   // [N]
	share     []float32 // [N]
	bias      []float32 // [T] what a key's size adds to its products with the queries
	scratch   *halting.Scratch
	packed    kernels.Packed // a factor of Rows.Products

	rows     []float32                                         // of the image that the scheme is looking at, E apart
	predict  func() []float32                                  // w.predictNow
	products func(dst, a, b []float32, rows, cols, length int) // w.multiply
}

// growSight makes room for g images.
func (w *worker) growSight(g int) {
	c, n, s := &w.engine.config, w.engine.start, &w.sight
	need := w.engine.needsAny
	if need.Previous {
		s.previous = make([]float32, g*n*c.Embed)
	}
	if need.Attention {
		s.attention, s.room = make([]float32, n), make([]float32, n)
	}
	if need.Keys {
		s.keys = make([]float32, n*c.HeadDim())
		s.packed.Data = make([]float32, kernels.PackedLen(c.HeadDim(), n))
		s.scratch = halting.ScratchFor(n, c.HeadDim())
		s.products = w.multiply
	} else if need.Attention {
		s.scratch = halting.ScratchFor(n, 0)
	}
	if need.Logits {
		q := c.Readouts().Heads
		s.field, s.logits, s.second = make([]float32, q*c.Embed), make([]float32, c.Classes), make([]float32, (q-1)*c.Classes)
		s.predict = w.predictNow
	}
	if need.Merges {
		s.into, s.share = make([]int32, n), make([]float32, n)
	}
	if need.Sizes {
		s.bias = make([]float32, g*n)
	}
}

// prepare is called before block l (1-based): it keeps the tokens as they are if the scheme will ask for them, and weighs keys by their sizes.
func (w *worker) prepare(l int) {
	need := w.engine.needs[l-1]
	if need.Previous {
		copy(w.sight.previous, w.x[:w.rows()*w.engine.config.Embed])
	}
	if need.Sizes {
		root := math.Sqrt(float64(w.engine.config.HeadDim()))
		for _, s := range w.slots {
			size := w.states[s.image].Size
			for r := s.first; r < s.first+s.rows; r++ {
				w.sight.bias[r] = 0
				if v := size[w.token[r]]; v != 1 {
					w.sight.bias[r] = float32(root * math.Log(float64(v)))
				}
			}
		}
	}
}

// biasOf returns what attention adds to the products with the keys in slot s, or nil.
func (w *worker) biasOf(s slot) []float32 {
	if w.sight.bias == nil || !w.engine.needs[w.layer-1].Sizes {
		return nil
	}
	return w.sight.bias[s.first : s.first+s.rows]
}

// look returns what the scheme is to see of an image after block l: the given tokens of slot s, which are its first rows, with x where theirs are.
func (w *worker) look(l int, s slot, token []int32, x []float32) halting.Rows {
	c, v, n := &w.engine.config, &w.sight, len(token)
	e := c.Embed
	r := halting.Rows{Layer: l, Layers: c.Layers, Readouts: c.Readouts(), X: x, Stride: e, Token: token, Score: w.scores[:n], Weight: w.weights[:n]}
	need := w.engine.needs[l-1]
	if need == (halting.Needs{}) {
		return r
	}
	r.Scratch, r.Products = v.scratch, v.products
	if need.Previous {
		r.Previous = v.previous[s.first*e : (s.first+s.rows)*e]
	}
	if need.Attention {
		kernels.AttentionRow(v.attention, w.qkv[s.first*3*e:], 3*e, n, 0, c.Heads, c.HeadDim(), v.room)
		r.Attention = v.attention[:n]
	}
	if need.Keys {
		kernels.MeanKeys(v.keys, w.qkv[s.first*3*e:], 3*e, n, c.Heads, c.HeadDim())
		r.Keys, r.KeyLen = v.keys, c.HeadDim()
	}
	if need.Logits {
		v.rows, r.Logits = x, v.predict
	}
	if need.Merges {
		r.Into, r.Share = v.into[:n], v.share[:n]
	}
	return r
}

// merge applies what the scheme said of n rows x, E apart, in block l: x'[j] = Σ share[i]·x[i] over into[i] = j.
func (w *worker) merge(l, n int, x []float32) {
	if !w.engine.needs[l-1].Merges {
		return
	}
	e, into, share := w.engine.config.Embed, w.sight.into[:n], w.sight.share[:n]
	for i, j := range into {
		if int(j) == i && share[i] != 1 {
			kernels.Scale(x[i*e:(i+1)*e], share[i])
		}
	}
	for i, j := range into {
		if int(j) != i {
			kernels.Axpy(x[int(j)*e:(int(j)+1)*e], share[i], x[i*e:(i+1)*e])
		}
	}
}

// predictNow is Rows.Logits: what the heads make of the readouts' rows as they are. The schemes that ask for it halt all tokens of an image together,
// so all readouts are there.
func (w *worker) predictNow() []float32 {
	v := &w.sight
	copy(v.field, v.rows)
	w.heads(v.logits, v.second, v.field, 1)
	return v.logits
}

// multiply is Rows.Products.
func (w *worker) multiply(dst, a, b []float32, rows, cols, length int) {
	kernels.PackTransposed(&w.sight.packed, b, length, length, cols)
	kernels.GemmPacked(dst, cols, a, length, rows, &w.sight.packed, kernels.Epilogue{})
}

func (s *sight) bytes() int64 {
	return 4*int64(cap(s.previous)+cap(s.attention)+cap(s.room)+cap(s.keys)+cap(s.field)+cap(s.logits)+cap(s.second)+cap(s.into)+cap(s.share)+
		cap(s.bias)+cap(s.packed.Data)) + s.scratch.Bytes()
}
