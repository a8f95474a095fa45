package vit

import (
	"math"
	"slices"
)

// denseLogits is the network in its plainest form, in float64 and for one image [C, H, W]: the proof that names, shapes
// and the order of rows mean what we think they mean.
func denseLogits(p *Params, image []float32) []float64 {
	c := p.Config
	e := c.Embed
	x := make([][]float64, c.Tokens())
	special := c.Special()
	tokens := wide(slices.Concat(p.ClassToken, p.DistToken, p.Registers))
	for k := range special {
		x[k] = tokens[k*e : (k+1)*e]
	}
	for k := range c.Patches() {
		row, col := k/c.GridW()*c.Patch, k%c.GridW()*c.Patch
		var patch []float64
		for ch := range c.Channels {
			for i := range c.Patch {
				for j := range c.Patch {
					patch = append(patch, float64(image[(ch*c.Height+row+i)*c.Width+col+j]))
				}
			}
		}
		x[k+special] = linear(p.PatchWeight, p.PatchBias, patch)
	}
	for k := range len(p.Position) / e {
		row := k
		if k >= special-c.Registers {
			row += c.Registers
		}
		add(x[row], wide(p.Position[k*e:(k+1)*e]))
	}
	for _, b := range p.Blocks {
		qkv := make([][]float64, len(x))
		for k := range x {
			qkv[k] = linear(b.QKVWeight, b.QKVBias, layerNorm(x[k], b.Norm1Weight, b.Norm1Bias, c.Eps))
		}
		d := c.HeadDim()
		for k := range x {
			out := make([]float64, e)
			for h := range c.Heads {
				score := make([]float64, len(x))
				var sum float64
				for j := range x {
					score[j] = math.Exp(dot(qkv[k][h*d:(h+1)*d], qkv[j][e+h*d:e+(h+1)*d]) / math.Sqrt(float64(d)))
					sum += score[j]
				}
				for j := range x {
					for i := range d {
						out[h*d+i] += score[j] / sum * qkv[j][2*e+h*d+i]
					}
				}
			}
			add(x[k], linear(b.ProjWeight, b.ProjBias, out))
		}
		for k := range x {
			hidden := linear(b.FC1Weight, b.FC1Bias, layerNorm(x[k], b.Norm2Weight, b.Norm2Bias, c.Eps))
			for i, v := range hidden {
				hidden[i] = v / 2 * (1 + math.Erf(v/math.Sqrt2))
			}
			add(x[k], linear(b.FC2Weight, b.FC2Bias, hidden))
		}
	}
	norm := func(x []float64) []float64 { return layerNorm(x, p.NormWeight, p.NormBias, c.Eps) }
	raw, normed := make([]float64, e), make([]float64, e) // means
	for _, token := range x[special:] {
		n := norm(token)
		for j := range e {
			raw[j] += token[j] / float64(c.Patches())
			normed[j] += n[j] / float64(c.Patches())
		}
	}
	read := [poolings]func() []float64{func() []float64 { return norm(x[0]) }, func() []float64 { return norm(raw) },
		func() []float64 { return normed }, func() []float64 { return append(norm(x[0]), normed...) }}
	logits := linear(p.HeadWeight, p.HeadBias, read[c.Pooling]())
	if c.Classifiers() == 2 {
		for j, v := range linear(p.HeadDistWeight, p.HeadDistBias, layerNorm(x[1], p.NormWeight, p.NormBias, c.Eps)) {
			logits[j] = (logits[j] + v) / 2
		}
	}
	return logits
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func add(x, y []float64) {
	for i := range x {
		x[i] += y[i]
	}
}

func dot(x, y []float64) float64 {
	var sum float64
	for i := range x {
		sum += x[i] * y[i]
	}
	return sum
}

func linear(weight, bias []float32, x []float64) []float64 {
	y := make([]float64, len(bias))
	for i := range y {
		y[i] = float64(bias[i]) + dot(wide(weight[i*len(x):(i+1)*len(x)]), x)
	}
	return y
}

func layerNorm(x []float64, gamma, beta []float32, eps float64) []float64 {
	var mean, variance float64
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
