package train

import (
	"errors"
	"fmt"
	"math"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// Batch is what a step learns from. Load writes image i (0..Size−1) as [C,H,W]; it is called from several goroutines,
// once an image.
type Batch struct {
	Size    int
	Labels  []int32   // [Size]
	Targets []float32 // [Size, classes] distributions to learn instead, as mixed images have them; nil: the labels
	Teacher []float32 // [Size, classes] a teacher's logits for the same images, with Loss.Distill; nil: none
	// [Size, I, E] what the teacher's logits are made of (infer.Output.Fields), with Distill.Tokens; nil: none
	TeacherTokens []float32
	Load          func(i int, dst []float32) error
	Seed          uint64 // of the drop path masks

	// Stop is asked between shards, from several goroutines; an error ends the pass, and Step returns it. nil: nobody
	// asks.
	Stop func() error
}

// Stats are a step's losses and what its tokens did. In JSON they are part of a run's logs.
type Stats struct {
	Loss         float64 `json:"loss"`
	CrossEntropy float64 `json:"loss_ce"`
	Distill      float64 `json:"loss_distill,omitempty"` // what the teacher's part comes to
	Tokens       float64 `json:"loss_tokens,omitempty"`  // and the distance to its tokens
	Ponder       float64 `json:"loss_ponder"`            // the ponder cost
	// with a budget, the multiplier of the ponder cost and the share of the dense token-blocks that it steered to
	Multiplier float64 `json:"multiplier,omitempty"`
	Target     float64 `json:"budget,omitempty"`
	// divergence of the mean scores from the prior; PonderNet's from its own, mean over the images
	Prior   float64 `json:"loss_prior"`
	Correct int     `json:"-"` // images whose largest logit is their label
	// blocks that a token ran in, or would at inference where every block runs to learn; mean
	MeanDepth   float64   `json:"mean_depth"`
	LayerScores []float64 `json:"layer_scores,omitempty"` // [L] Ĥ before it is normalised
	// of the whole gradient before clipping, frozen tensors left out; of a Stepper's steps
	GradNorm float64 `json:"grad_norm"`
}

// Means gives access to all that several Stats have a mean of.
func (s *Stats) Means() []*float64 {
	list := []*float64{&s.Loss, &s.CrossEntropy, &s.Distill, &s.Ponder, &s.Prior, &s.MeanDepth, &s.GradNorm,
		&s.Multiplier, &s.Target, &s.Tokens}
	for l := range s.LayerScores {
		list = append(list, &s.LayerScores[l])
	}
	return list
}

// Add counts in a share of other Stats, and all that they have correct.
func (s *Stats) Add(other Stats, share float64) {
	if s.LayerScores == nil {
		s.LayerScores = make([]float64, len(other.LayerScores))
	}
	of := other.Means()
	for i, figure := range s.Means() {
		*figure += share * *of[i]
	}
	s.Correct += other.Correct
}

// stopped returns the error with which the pass is to end, if it is.
func (b Batch) stopped() error {
	if b.Stop == nil {
		return nil
	}
	return b.Stop()
}

// Check reports what a batch lacks for a model and for this loss.
func (b Batch) Check(c vit.Config, loss Loss) error {
	classes, tokens := c.Classes, c.Readouts().Inputs()*c.Embed
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
	if (b.Teacher != nil) != (loss.Distill != nil) {
		return errors.New("train: a teacher's logits and a way to learn from them (soft, hard) go together")
	}
	if b.Teacher != nil && len(b.Teacher) != b.Size*classes {
		return fmt.Errorf("train: %d logits of a teacher for %d images of %d classes", len(b.Teacher), b.Size, classes)
	}
	if want := loss.Distill != nil && loss.Distill.Tokens > 0; want != (b.TeacherTokens != nil) {
		return errors.New("train: a teacher's tokens and a weight for them (distill.tokens) go together")
	}
	if b.TeacherTokens != nil && len(b.TeacherTokens) != b.Size*tokens {
		return fmt.Errorf("train: %d numbers of a teacher's tokens for %d images of %d", len(b.TeacherTokens), b.Size, tokens)
	}
	if i := kernels.FirstNotFinite(b.TeacherTokens); i >= 0 {
		return fmt.Errorf("train: the teacher's token of image %d holds %v", i/tokens, b.TeacherTokens[i])
	}
	if i := kernels.FirstNotFinite(b.Teacher); i >= 0 {
		return fmt.Errorf("train: the teacher's logit %d of image %d is %v", i%classes, i/classes, b.Teacher[i])
	}
	return nil
}
