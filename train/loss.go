package train

import (
	"errors"
	"fmt"
	"math"

	"github.com/adavit/adavit/halting"
)

// Loss says what a training step minimises:
//
//	(1 − DistillAlpha)·cross-entropy + DistillAlpha·distillation
//	  + AlphaPonder·ponder + AlphaPrior·prior     token, act, sact: ponder cost, and a prior on the layers' mean scores
//	  + PonderBeta·KL(p ‖ geometric)              ponder
//
// A scheme that may stop after any block has the first line for each of its predictions: PonderNet their mean under its chances p to stop there, the
// confidence threshold the plain mean. A dense model and what remains (similarity, topk) have the first line alone.
type Loss struct {
	LabelSmoothing float64 // of labels; targets that a batch brings along are taken as they are

	AlphaPonder    float64
	AlphaPrior     float64
	TargetLayer    float64 // centre of the prior, 1-based
	PriorShape     string  // halting.PriorNormal and so on; "" = normal
	PriorDeviation float64 // in layers; 0 = 1
	ReversePrior   bool    // KL(target ‖ Ĥ) instead of KL(Ĥ ‖ target)

	PonderBeta   float64 // β of PonderNet's divergence
	PonderLambda float64 // λ_p of its geometric prior; 0 = 1/TargetLayer, whose mean is the target layer

	Distill            string  // DistillSoft, DistillHard, or "" to learn from labels alone
	DistillAlpha       float64 // the teacher's share of the classification loss, 0 to 1
	DistillTemperature float64 // τ of DistillSoft; 0 = 1

	DropPath float64 // stochastic depth of the last block; earlier blocks scale linearly from 0
	Scale    float64 // factor of the gradient, not of the losses reported: 1/n for each of n batches that make up a step; 0 = 1
}

// How a student learns from a teacher (Touvron et al. 2021, section 4). With a distillation head the class token's head learns the labels and the
// distillation token's the teacher; with one head that one learns both.
const (
	DistillSoft = "soft" // τ²·KL(softmax(teacher/τ) ‖ softmax(student/τ)), Hinton et al. 2015
	DistillHard = "hard" // cross-entropy with the teacher's choice as the label
)

// Batch is what a step learns from. Load writes image i (0..Size−1) as [C,H,W]; it is called from several goroutines, once an image.
type Batch struct {
	Size    int
	Labels  []int32   // [Size]
	Targets []float32 // [Size, classes] distributions to learn in place of the labels, as mixed images have them; nil: the labels
	Teacher []float32 // [Size, classes] a teacher's logits for the same images, with Loss.Distill; nil: none
	Load    func(i int, dst []float32) error
	Seed    uint64       // of the drop path masks
	Stop    func() error // asked between shards, from several goroutines; an error ends the pass, and Step returns it. nil: nobody asks
}

// Stats are a step's losses and what its tokens did.
type Stats struct {
	Loss, CrossEntropy, Ponder float64
	Prior                      float64   // the divergence of the mean scores from the prior; PonderNet's from its geometric one, mean over the images
	Distill                    float64   // what the teacher's part comes to
	Correct                    int       // images whose largest logit is their label
	MeanDepth                  float64   // blocks a token ran in, mean over all tokens; of schemes that run every block to learn, in which it would at inference
	LayerScores                []float64 // [L] Ĥ before it is normalised
	GradNorm                   float64   // of the whole gradient before clipping, frozen tensors left out; a Stepper knows it
}

// upstream is what the batch as a whole sends back into every shard.
type upstream struct {
	remainder float32   // ∂loss/∂r of any token
	score     []float64 // [L] ∂loss/∂h of any token that ran in block l
}

// scale is the factor of the gradient.
func (l Loss) scale() float64 {
	if l.Scale == 0 {
		return 1
	}
	return l.Scale
}

// ponderLambda is λ of PonderNet's prior.
func (l Loss) ponderLambda() float64 {
	if l.PonderLambda == 0 {
		return 1 / l.TargetLayer
	}
	return l.PonderLambda
}

// check reports the first number that makes no sense.
func (l Loss) check() error {
	for _, v := range []struct {
		name            string
		value, min, max float64
	}{
		{"label smoothing", l.LabelSmoothing, 0, 1}, {"α of the teacher", l.DistillAlpha, 0, 1},
		{"β of the ponder divergence", l.PonderBeta, 0, 1e6},
		{"α of the ponder cost", l.AlphaPonder, 0, 1e6}, {"α of the prior", l.AlphaPrior, 0, 1e6}, {"drop path", l.DropPath, 0, 0.999}, {"scale", l.Scale, 0, 1e6},
	} {
		if math.IsNaN(v.value) || v.value < v.min || v.value > v.max {
			return fmt.Errorf("train: %s is %v, want %v to %v", v.name, v.value, v.min, v.max)
		}
	}
	if t := l.DistillTemperature; t != 0 && !(t >= 0.01 && t <= 1e3) {
		return fmt.Errorf("train: the temperature is %v, want 0.01 to 1000", t)
	}
	switch l.Distill {
	case "", DistillSoft, DistillHard:
		return nil
	}
	return fmt.Errorf("train: distillation %q is not known (known: %q, %q)", l.Distill, DistillSoft, DistillHard)
}

// stopped returns the error with which the pass is to end, if it is.
func (b Batch) stopped() error {
	if b.Stop == nil {
		return nil
	}
	return b.Stop()
}

// check reports what a batch lacks for a model with this many classes and for this loss.
func (b Batch) check(classes int, loss Loss) error {
	if b.Size < 1 || len(b.Labels) != b.Size {
		return fmt.Errorf("train: a batch of %d images with %d labels", b.Size, len(b.Labels))
	}
	for i, y := range b.Labels {
		if y < 0 || int(y) >= classes {
			return fmt.Errorf("train: image %d has label %d, the model has %d classes", i, y, classes)
		}
	}
	if b.Targets != nil && len(b.Targets) != b.Size*classes {
		return fmt.Errorf("train: %d targets for %d images of %d classes", len(b.Targets), b.Size, classes)
	}
	for i := 0; i < len(b.Targets); i += classes {
		sum := 0.0
		for _, v := range b.Targets[i : i+classes] {
			if !(v >= 0) {
				return fmt.Errorf("train: image %d has a target of %v", i/classes, v)
			}
			sum += float64(v)
		}
		if !(math.Abs(sum-1) < 1e-3) {
			return fmt.Errorf("train: the targets of image %d sum to %v, want 1", i/classes, sum)
		}
	}
	if (b.Teacher != nil) != (loss.Distill != "") {
		return errors.New("train: a teacher's logits and a way to learn from them (soft, hard) go together")
	}
	if b.Teacher != nil && len(b.Teacher) != b.Size*classes {
		return fmt.Errorf("train: %d logits of a teacher for %d images of %d classes", len(b.Teacher), b.Size, classes)
	}
	for i, v := range b.Teacher {
		if v-v != 0 {
			return fmt.Errorf("train: the teacher's logit %d of image %d is %v", i%classes, i/classes, v)
		}
	}
	return nil
}

// losses sums the shards in order and differentiates what couples all images of the batch: the means under ponder cost and prior.
func (n *Network) losses(shards []*shard, batch int, loss Loss) (Stats, upstream) {
	layers, tokens := n.config.Layers, float64(batch*n.config.Tokens())
	st := Stats{LayerScores: make([]float64, layers)}
	up := upstream{score: make([]float64, layers)}
	for _, s := range shards {
		st.CrossEntropy += s.crossEntropy / float64(batch)
		st.Distill += s.distill / float64(batch)
		st.Correct += s.correct
		st.MeanDepth += s.depth / tokens
		st.Prior += s.divergence / float64(batch)
		for l, sum := range s.scoreSum {
			st.LayerScores[l] += sum / tokens
		}
	}
	st.Loss = st.CrossEntropy
	if loss.Distill != "" {
		st.Loss = (1-loss.DistillAlpha)*st.CrossEntropy + loss.DistillAlpha*st.Distill
	}
	if n.policy.learner == nil {
		return st, up
	}
	if !n.policy.couples() {
		st.Loss += loss.PonderBeta * st.Prior
		return st, up
	}
	for _, s := range shards {
		for i := range s.images {
			st.Ponder += halting.PonderSum(s.state[i].Depth, s.state[i].Remainder) / tokens
		}
	}
	grad := make([]float64, layers)
	st.Prior = n.prior.Loss(st.LayerScores, grad)
	for l, g := range grad {
		up.score[l] = loss.scale() * loss.AlphaPrior * g / tokens
	}
	up.remainder = float32(loss.scale() * loss.AlphaPonder / tokens)
	st.Loss += loss.AlphaPonder*st.Ponder + loss.AlphaPrior*st.Prior
	return st, up
}
