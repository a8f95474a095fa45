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
}

// validate reports the first value that makes no sense.
func (d *Distill) validate() error {
	switch {
	case d == nil:
		return nil
	case d.Mode != DistillSoft && d.Mode != DistillHard:
		return fmt.Errorf("distill: mode is %q, want %q or %q", d.Mode, DistillSoft, DistillHard)
	case !(d.Alpha > 0 && d.Alpha <= 1):
		return fmt.Errorf("distill: alpha is %v, want more than 0 and at most 1", d.Alpha)
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
