package onnx

import (
	"math"
	"slices"

	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/vit"
)

// plain runs a model on one image as the method is written down, in float64: every token goes through every block, a
// halted one is barred as a key. It returns the logits, and depth [N], the blocks that each token ran in before the
// image was finished. The constants are rounded to float32, for the graph holds them so, and depths must not hang on
// that. With an exit the readouts have no scores, and a sure prediction ends what is left of the image.
func plain(p *vit.Params, image []float64) (logits []float64, depth []int) {
	c := &p.Config
	x := embedded(p, image)
	r := c.Readouts()
	n, alone := len(x), r.Alone
	alive, sum, field := make([]bool, n), make([]float64, n), make([][]float64, n)
	for k := range alive {
		alive[k] = true
	}
	for k := range field {
		field[k] = make([]float64, c.Embed)
	}
	depth = make([]int, n)
	scale, center, threshold := float64(float32(c.Halting.Number("gate_scale"))),
		float64(float32(c.Halting.Number("gate_center"))), float64(float32(1-c.Halting.Number("epsilon")))
	exit := float64(float32(c.Halting.Number("exit")))
	for l := range c.Layers {
		plainBlock(p, &p.Blocks[l], x, alive)
		ends, running := make([][]float64, n), false
		for k := range n {
			ends[k] = slices.Clone(field[k])
			for j, v := range x[k] {
				ends[k][j] += (1 - sum[k]) * v * truth(alive[k])
			}
			_, read := r.Field(int32(k))
			running = running || read && alive[k]
		}
		last := l == c.Layers-1 || exit > 0 && running && largestShare(plainHeads(p, ends)) >= exit
		for k := range n {
			if !alive[k] {
				continue
			}
			h := 0.0
			stays := r.Register(int32(k)) && !c.Halting.Switch("registers_halt")
			if c.Halting.Adaptive() && (exit == 0 || k >= alone) && !stays {
				h = 1 / (1 + math.Exp(center-scale*x[k][0]))
			}
			weight := h
			if last || sum[k]+h >= threshold {
				weight, alive[k], depth[k] = 1-sum[k], false, l+1
			}
			sum[k] += h
			for j, v := range x[k] {
				field[k][j] += weight * v
			}
		}
	}
	finished := 0
	for f := range r.Fields() {
		finished = max(finished, depth[r.Place(f)])
	}
	for k := range depth {
		depth[k] = min(depth[k], finished)
	}
	return plainHeads(p, field), depth
}

// plainHeads returns the logits of what the heads read of the tokens x [N][E].
func plainHeads(p *vit.Params, x [][]float64) []float64 {
	c := p.Config
	norm := func(x []float64) []float64 { return plainNorm(p, x, p.NormWeight, p.NormBias) }
	read := tokentest.Read(&c, x, norm)
	logits := plainLinear(read, p.HeadWeight, p.HeadBias)
	if c.Classifiers() == 2 {
		for j, v := range plainLinear(plainNorm(p, x[1], p.NormWeight, p.NormBias), p.HeadDistWeight, p.HeadDistBias) {
			logits[j] = (logits[j] + v) / 2
		}
	}
	return logits
}

// largestShare is the largest of a softmax.
func largestShare(z []float64) float64 {
	total := 0.0
	for _, v := range z {
		total += math.Exp(v - slices.Max(z))
	}
	return 1 / total
}

// embedded returns the tokens before block 1.
func embedded(p *vit.Params, image []float64) [][]float64 {
	c := &p.Config
	x, positions := tokentest.Special(p)
	special := len(x)
	for row := range c.GridH() {
		for column := range c.GridW() {
			var pixels []float64
			for i := range c.PatchLen() {
				channel, y, x := i/(c.Patch*c.Patch), row*c.Patch+i/c.Patch%c.Patch, column*c.Patch+i%c.Patch
				pixels = append(pixels, image[(channel*c.Height+y)*c.Width+x])
			}
			x = append(x, plainLinear(pixels, p.PatchWeight, p.PatchBias))
		}
	}
	for k, position := range positions {
		add(x[special+k], position)
	}
	return x
}

func plainBlock(p *vit.Params, b *vit.Block, x [][]float64, alive []bool) {
	c := &p.Config
	e, d := c.Embed, c.HeadDim()
	qkv := make([][]float64, len(x))
	for k := range x {
		qkv[k] = plainLinear(plainNorm(p, x[k], b.Norm1Weight, b.Norm1Bias), b.QKVWeight, b.QKVBias)
	}
	for k := range x {
		if !alive[k] {
			continue
		}
		mixed := make([]float64, e)
		for head := 0; head < e; head += d {
			share, total := make([]float64, len(x)), 0.0
			for j := range x {
				for i := range d {
					share[j] += qkv[k][head+i] * qkv[j][e+head+i] / math.Sqrt(float64(d))
				}
				share[j] = math.Exp(share[j]) * truth(alive[j])
				total += share[j]
			}
			for j := range x {
				for i := range d {
					mixed[head+i] += share[j] / total * qkv[j][2*e+head+i]
				}
			}
		}
		add(x[k], plainLinear(mixed, b.ProjWeight, b.ProjBias))
		hidden := plainLinear(plainNorm(p, x[k], b.Norm2Weight, b.Norm2Bias), b.FC1Weight, b.FC1Bias)
		for i, v := range hidden {
			hidden[i] = gelu(v)
		}
		add(x[k], plainLinear(hidden, b.FC2Weight, b.FC2Bias))
	}
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func add(x, y []float64) {
	for i, v := range y {
		x[i] += v
	}
}

// plainLinear returns weight·x + bias for a weight [len(bias), len(x)].
func plainLinear(x []float64, weight, bias []float32) []float64 {
	y := wide(bias)
	for i := range y {
		for j, v := range x {
			y[i] += v * float64(weight[i*len(x)+j])
		}
	}
	return y
}

func plainNorm(p *vit.Params, x []float64, gamma, beta []float32) []float64 {
	mean, variance := 0.0, 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		variance += (v - mean) * (v - mean) / float64(len(x))
	}
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = (v-mean)/math.Sqrt(variance+p.Config.Eps)*float64(gamma[i]) + float64(beta[i])
	}
	return y
}
