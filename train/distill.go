package train

import (
	"cmp"
	"fmt"
	"math"
)

// How a student with p = softmax(z/τ) learns from a teacher's logits (Touvron et al. 2021, section 4; METHOD.md (22)
// and (32)). With a distillation head the class token's head learns the labels and the distillation token's the
// teacher; with one head that one learns both.
//
//	soft   τ²·KL(q ‖ p) = τ²·Σ_j q[j]·(ln q[j] − ln p[j]),  q = softmax(teacher/τ)   Hinton et al. 2015
//	hard   −ln p[y],  y = the teacher's choice, τ = 1
//
// Both are cross-entropies, but for a constant: their gradient is τ·(p − q), and p − [j = y].
const (
	DistillSoft = "soft"
	DistillHard = "hard"
)

// Distill says how to learn from a teacher beside the labels.
type Distill struct {
	Model       string  `json:"model"`       // the teacher's name; whoever opens it goes by it
	Mode        string  `json:"mode"`        // DistillSoft or DistillHard
	Alpha       float64 `json:"alpha"`       // the teacher's share of the classification loss
	Temperature float64 `json:"temperature"` // τ of DistillSoft; 0 = 1
	// Tokens is the weight of the distance between what the student's and the teacher's last predictions are made from;
	// 0 = it does not count. The teacher has to be as wide as the student.
	Tokens float64 `json:"tokens,omitempty"`
}

// validate reports the first value that makes no sense.
func (d *Distill) validate() error {
	switch {
	case d == nil:
		return nil
	case d.Mode != DistillSoft && d.Mode != DistillHard:
		return fmt.Errorf("distill: mode is %q, want %q or %q", d.Mode, DistillSoft, DistillHard)
	case !(d.Tokens >= 0 && d.Tokens <= 1e6):
		return fmt.Errorf("distill: tokens is %v, want 0 to 1e6", d.Tokens)
	case !(d.Alpha >= 0 && d.Alpha <= 1) || d.Alpha == 0 && d.Tokens == 0:
		return fmt.Errorf("distill: alpha is %v, want more than 0 and at most 1, or 0 with tokens", d.Alpha)
	case d.Temperature != 0 && !(d.Temperature >= 0.01 && d.Temperature <= 1e3):
		return fmt.Errorf("distill: temperature is %v, want 0.01 to 1000, or 0 for 1", d.Temperature)
	}
	return nil
}

// distill returns the loss of an image with logits z [classes] towards its teacher's, and writes, or adds, to grad
// factor/batch times its gradient. q [classes] is scratch.
func distill(grad, z, teacher []float32, q []float64, how *Distill, factor float64, batch int, add bool) float64 {
	best := largestLogit(teacher)
	if how.Mode == DistillHard {
		clear(q)
		q[best] = 1
		return crossEntropy(grad, z, q, 1, factor, batch, add)
	}
	temperature := cmp.Or(how.Temperature, 1)
	total, entropy := 0.0, 0.0 // Σ q·ln q
	for j, v := range teacher {
		q[j] = math.Exp(float64(v-teacher[best]) / temperature)
		total += q[j]
	}
	for j, v := range teacher {
		logQ := float64(v-teacher[best])/temperature - math.Log(total)
		q[j] /= total
		entropy += q[j] * logQ
	}
	return temperature*temperature*entropy + crossEntropy(grad, z, q, temperature, factor, batch, add)
}

// matchTokens returns the distance of what an image's last prediction is made from, o [Q, E], to the teacher's T,
// METHOD.md (47): the mean of (o − T)² over all numbers but each token's first, which is a gate in the student alone.
// Unless grad is nil, it adds to grad factor times the gradient.
func matchTokens(grad, o, teacher []float32, e int, factor float64) float64 {
	sum, n := 0.0, float64(max(1, len(o)/e*(e-1)))
	for i, v := range o {
		if i%e == 0 {
			continue
		}
		d := float64(v - teacher[i])
		sum += d * d
		if grad != nil {
			grad[i] += float32(factor * 2 * d / n)
		}
	}
	return sum / n
}

// pullTokens adds to dinput [images, Q, E], the gradient of the last decision's input, that of Distill.Tokens times the
// mean distance.
func (n *Network) pullTokens(dinput []float32, s *shard, up tokenPull) {
	if up.weight == 0 {
		return
	}
	d, size := s.decisions[len(s.decisions)-1], n.reads.Fields()*n.config.Embed
	for i := range s.images {
		lo, hi := i*size, (i+1)*size
		matchTokens(dinput[lo:hi], d.input[lo:hi], up.teacher[(s.first+i)*size:(s.first+i+1)*size], n.config.Embed, up.weight)
	}
}

// tokenPull is what a teacher's tokens add to the gradient of a pass.
type tokenPull struct {
	weight  float64   // Distill.Tokens over the size of the batch; 0: nothing
	teacher []float32 // [B, Q, E]
}
