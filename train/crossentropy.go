package train

import "math"

// The cross-entropy of an image with logits z [classes] towards a distribution t, with p = softmax(z/τ), METHOD.md (21)
// and (32):
//
//	τ²·H(t, p) = −τ²·Σ_j t[j]·ln p[j]      ∂/∂z[j] = τ·(p[j] − t[j])
//
// τ is 1 but for distillation. A label y with smoothing s stands for t[j] = (1−s)·[j = y] + s/classes.

// crossEntropy returns it for a target that sums to 1, and writes, or adds, to grad factor/batch times its gradient.
func crossEntropy(grad, z []float32, target []float64, temperature, factor float64, batch int, add bool) float64 {
	best := largestLogit(z)
	total, sum := 0.0, 0.0
	for _, v := range z {
		total += math.Exp(float64(v-z[best]) / temperature)
	}
	logTotal := math.Log(total)
	for j, v := range z {
		logP := float64(v-z[best])/temperature - logTotal
		sum -= target[j] * logP
		g := float32(factor * temperature * (math.Exp(logP) - target[j]) / float64(batch))
		if add {
			g += grad[j]
		}
		grad[j] = g
	}
	return temperature * temperature * sum
}

// Target fills t [classes] with the distribution that image i is to have: its own, or that of its label.
func (b Batch) Target(t []float64, i int, smoothing float64) {
	if b.Targets != nil {
		for j, v := range b.Targets[i*len(t) : (i+1)*len(t)] {
			t[j] = float64(v)
		}
		return
	}
	for j := range t {
		t[j] = smoothing / float64(len(t))
	}
	t[b.Labels[i]] += 1 - smoothing
}

// largestLogit returns the class of the largest logit, the first of equals.
func largestLogit(z []float32) int {
	best := 0
	for j, v := range z {
		if v > z[best] {
			best = j
		}
	}
	return best
}
