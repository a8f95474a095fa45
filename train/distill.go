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

// TeacherInit names the model that training starts from as the teacher.
const TeacherInit = "init"

// Distill says how to learn from a teacher beside the labels.
type Distill struct {
	Model       string  `json:"model"`       // the teacher's name, or TeacherInit; whoever opens it goes by it
	Mode        string  `json:"mode"`        // DistillSoft or DistillHard; "" where alpha is 0
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
	case d.Mode != DistillSoft && d.Mode != DistillHard && !(d.Mode == "" && d.Alpha == 0):
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

// matchTokens computes how far what the last decision d is made from, o [I, E] of each image, is from the teacher's T,
// METHOD.md (47): the mean of (o − T)² over all numbers but each token's first, which is a gate in the student alone;
// and in d.pull the gradient of the mean over the batch, times Distill.Tokens.
func (n *Network) matchTokens(d *decision, s *shard, b Batch, loss Loss) {
	e, size := n.config.Embed, n.reads.Inputs()*n.config.Embed
	if d.pull == nil {
		d.pull = make([]float32, len(d.read))
	}
	count := float64(max(1, n.reads.Inputs()*(e-1)))
	factor := loss.scale() * loss.Distill.Tokens / float64(b.Size) * 2 / count
	teacher := b.TeacherTokens[s.first*size:]
	for i, o := range d.read[:s.images*size] {
		if i%e == 0 {
			continue
		}
		by := float64(o - teacher[i])
		s.apart += by * by / count
		d.pull[i] = float32(factor * by)
	}
}
