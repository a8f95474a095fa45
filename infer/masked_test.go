package infer

import (
	"math"
	"slices"

	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/vit"
)

// masked is the slow, plain forward that the engine is held against: every token goes through every block, a halted one
// is zeroed and barred as a key (frozen: keeps its value and stays a key). It works in float64 and shares no code with
// the engine or the schemes.
type masked struct {
	logits []float64 // [classes]
	depth  []int     // [N]
	ran    []int     // [N] blocks that a token runs in when the image stops with its readouts
	score  []float64 // [L·N]
	rho    []float64 // [N]
	margin float64   // how near a decision was: below the rounding of float32 a depth is a matter of luck
}

func maskedForward(p *vit.Params, image []float32) masked {
	c := &p.Config
	n, e, layers := c.Tokens(), c.Embed, c.Layers
	x := embedPlain(p, image)
	floats := func(n int) []float64 { return make([]float64, n) }
	m := masked{depth: make([]int, n), ran: make([]int, n), score: floats(layers * n), rho: floats(n)}
	m.margin = math.Inf(1)
	d := decider{p: p, m: &m, sum: floats(n), size: floats(n), count: floats(n), weight: floats(n), given: floats(n),
		alive: make([]bool, n), reads: c.Readouts()}
	keys := make([]bool, n)
	for k := range n {
		d.alive[k], keys[k], d.size[k], d.count[k] = true, true, 1, 1
		d.field = append(d.field, floats(e))
	}
	for l := range layers {
		before := make([][]float64, n)
		for k := range n {
			before[k] = slices.Clone(x[k])
		}
		d.attention, d.received, d.keys = blockPlain(p, &p.Blocks[l], x, d.alive, keys, d.size)
		if !d.reads.Class() {
			d.attention = d.received
		}
		clear(d.weight)
		d.decide(l+1, before, x)
		for k, w := range d.weight {
			d.given[k] += w
			for j, v := range x[k] {
				d.field[k][j] += w * v
			}
		}
		for k := range n {
			if d.alive[k] && m.depth[k] != 0 {
				d.alive[k] = false
				if c.Halting.Scheme != "sact" {
					keys[k] = false
					clear(x[k])
				}
			}
		}
	}
	end := 0
	for f := range d.reads.Fields() {
		end = max(end, m.depth[d.reads.Place(f)])
	}
	for k := range n {
		m.ran[k] = min(m.depth[k], end)
	}
	m.logits = headsPlain(p, d.field, d.count)
	return m
}

// headsPlain returns the logits of tokens [N][E], each of which counts in a mean so many times.
func headsPlain(p *vit.Params, field [][]float64, count []float64) []float64 {
	c := &p.Config
	norm := func(x []float64) []float64 { return normPlain(x, p.NormWeight, p.NormBias, c.Eps) }
	mean := func(of func(x []float64) []float64) []float64 {
		sum := make([]float64, c.Embed)
		for k := c.Special(); k < c.Tokens(); k++ {
			for j, v := range of(field[k]) {
				sum[j] += count[k] * v / float64(c.Patches())
			}
		}
		return sum
	}
	var read []float64
	switch c.Pooling {
	case vit.ClassToken:
		read = norm(field[0])
	case vit.Mean:
		read = norm(mean(func(x []float64) []float64 { return x }))
	case vit.NormedMean:
		read = mean(norm)
	case vit.ClassAndMean:
		read = append(norm(field[0]), mean(norm)...)
	}
	logits := linearPlain(read, p.HeadWeight, p.HeadBias)
	if c.Distillation == vit.DistillHead {
		for j, v := range linearPlain(norm(field[1]), p.HeadDistWeight, p.HeadDistBias) {
			logits[j] = (logits[j] + v) / 2
		}
	}
	return logits
}

// embedPlain returns the tokens before block 1.
func embedPlain(p *vit.Params, image []float32) [][]float64 {
	c := &p.Config
	x, positions := tokentest.Special(p)
	for _, position := range positions {
		k, s := len(x), c.Special()
		top, left := (k-s)/c.GridW()*c.Patch, (k-s)%c.GridW()*c.Patch
		var pixels []float64
		for ch := range c.Channels {
			for i := range c.Patch {
				for j := range c.Patch {
					pixels = append(pixels, float64(image[(ch*c.Height+top+i)*c.Width+left+j]))
				}
			}
		}
		x = append(x, linearPlain(pixels, p.PatchWeight, p.PatchBias))
		for j, v := range position {
			x[k][j] += v
		}
	}
	return x
}

// blockPlain runs one block over all tokens: only keys are attended to, each as if it were there size times, and the
// row of a token that is not alive is left alone. It returns what the class token pays each token, what those that are
// alive pay it on average, and the tokens' keys, all mean over the heads.
func blockPlain(p *vit.Params, b *vit.Block, x [][]float64, alive, keys []bool, size []float64) (
	attention, received []float64, meanKeys [][]float64) {
	c := &p.Config
	attention, received, meanKeys = make([]float64, len(x)), make([]float64, len(x)), make([][]float64, len(x))
	queries := 0.0
	for _, a := range alive {
		if a {
			queries++
		}
	}
	e, d := c.Embed, c.Embed/c.Heads
	qkv := make([][]float64, len(x))
	for k := range x {
		qkv[k] = linearPlain(normPlain(x[k], b.Norm1Weight, b.Norm1Bias, c.Eps), b.QKVWeight, b.QKVBias)
	}
	for i := range x {
		meanKeys[i] = make([]float64, d)
		for j := range e {
			meanKeys[i][j%d] += qkv[i][e+j] / float64(c.Heads)
		}
	}
	for i := range x {
		if !alive[i] {
			continue
		}
		out := make([]float64, e)
		for h := range c.Heads {
			logit, total, largest := make([]float64, len(x)), 0.0, math.Inf(-1)
			for j := range x {
				logit[j] = math.Inf(-1)
				if keys[j] {
					query, key := qkv[i][h*d:(h+1)*d], qkv[j][e+h*d:e+(h+1)*d]
					logit[j] = dotPlain(query, key)/math.Sqrt(float64(d)) + math.Log(size[j])
				}
				largest = max(largest, logit[j])
			}
			for j := range logit {
				logit[j] = math.Exp(logit[j] - largest)
				total += logit[j]
			}
			for j := range x {
				if i == 0 {
					attention[j] += logit[j] / total / float64(c.Heads)
				}
				received[j] += logit[j] / total / float64(c.Heads) / queries
				for k := range d {
					out[h*d+k] += logit[j] / total * qkv[j][2*e+h*d+k]
				}
			}
		}
		for j, v := range linearPlain(out, b.ProjWeight, b.ProjBias) {
			x[i][j] += v
		}
		hidden := linearPlain(normPlain(x[i], b.Norm2Weight, b.Norm2Bias, c.Eps), b.FC1Weight, b.FC1Bias)
		for j, v := range hidden {
			hidden[j] = v * 0.5 * (1 + math.Erf(v/math.Sqrt2))
		}
		for j, v := range linearPlain(hidden, b.FC2Weight, b.FC2Bias) {
			x[i][j] += v
		}
	}
	return attention, received, meanKeys
}

func dotPlain(a, b []float64) float64 {
	s := 0.0
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}

// linearPlain returns weight·x + bias for a weight [len(bias), len(x)].
func linearPlain(x []float64, weight, bias []float32) []float64 {
	y := make([]float64, len(bias))
	for i := range y {
		y[i] = float64(bias[i])
		for j, v := range x {
			y[i] += v * float64(weight[i*len(x)+j])
		}
	}
	return y
}

func normPlain(x []float64, gamma, beta []float32, eps float64) []float64 {
	mean, variance := 0.0, 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		variance += (v - mean) * (v - mean) / float64(len(x))
	}
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = (v-mean)/math.Sqrt(variance+eps)*float64(gamma[i]) + float64(beta[i])
	}
	return y
}
