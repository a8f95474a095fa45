package train

import (
	"cmp"
	"fmt"
	"math"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
)

// Loss says what a training step minimises, METHOD.md (23) and (28)–(31):
//
//	(1 − Distill.Alpha)·cross-entropy + Distill.Alpha·distillation
//	  + AlphaPonder·ponder + AlphaPrior·prior     token, act, sact: ponder cost, and a prior on the layers' mean scores
//	  + PonderBeta·KL(p ‖ geometric)              ponder
//
// A scheme that may stop after any block has the first line for each of its predictions: PonderNet their mean under its
// chances p to stop there, the confidence threshold and an exit their mean, or DeepSupervision of it. A dense model and
// what remains (similarity, topk) have the first line alone. Each term has a file of its own, with its gradient.
type Loss struct {
	// of labels; targets that a batch brings along are taken as they are
	LabelSmoothing float64 `json:"label_smoothing"`
	DropPath       float64 `json:"drop_path"` // stochastic depth of the last block; earlier ones scale linearly from 0

	// Budget is the mean cost to steer to, as a share of the dense token-blocks; 0 = none, and AlphaPonder stands.
	Budget float64 `json:"budget,omitempty"`
	// BudgetSpread is how far to either side of Budget it is drawn for each step, so that one model serves every budget;
	// CenterSpread is how far the gate's center goes along, in its own unit. At inference it is the center that is turned.
	BudgetSpread float64 `json:"budget_spread,omitempty"`
	CenterSpread float64 `json:"center_spread,omitempty"`
	// DeepSupervision is how much of the class loss of a scheme that may stop after any block goes to all blocks'
	// predictions alike; the last one's has the rest. 0 = 1, all of it. PonderNet has its own weights.
	DeepSupervision float64 `json:"deep_supervision,omitempty"`
	AlphaPonder     float64 `json:"alpha_ponder,omitempty"`
	AlphaPrior      float64 `json:"alpha_prior,omitempty"`
	TargetLayer     float64 `json:"target_layer,omitempty"`    // centre of the prior, 1-based
	PriorShape      string  `json:"prior_shape,omitempty"`     // PriorNormal and so on; "" = normal
	PriorDeviation  float64 `json:"prior_deviation,omitempty"` // in layers; 0 = 1
	ReversePrior    bool    `json:"reverse_prior,omitempty"`   // KL(target ‖ Ĥ) instead of KL(Ĥ ‖ target)

	PonderBeta float64 `json:"ponder_beta,omitempty"` // β of PonderNet's divergence
	// λ_p of its geometric prior; 0 = 1/TargetLayer, whose mean is the target layer
	PonderLambda float64 `json:"ponder_lambda,omitempty"`

	Distill *Distill `json:"distill,omitempty"` // nil: learn from labels alone

	Multiplier float64 `json:"-"` // what is added to AlphaPonder, of any sign: a Stepper's, for its budget
	Scale      float64 `json:"-"` // factor of the gradient alone: 1/n for each of n batches that make up a step; 0 = 1
}

// scale is the factor of the gradient.
func (l Loss) scale() float64 { return cmp.Or(l.Scale, 1) }

// Validate reports the first number that makes no sense for a model of so many layers.
func (l Loss) Validate(layers int) error {
	for _, v := range []struct {
		name            string
		value, min, max float64
	}{
		{"label_smoothing", l.LabelSmoothing, 0, 0.99}, {"drop_path", l.DropPath, 0, 0.99},
		{"budget", l.Budget, 0, 1}, {"budget_spread", l.BudgetSpread, 0, min(l.Budget, 1-l.Budget)},
		{"center_spread", l.CenterSpread, 0, halting.MaxGate},
		{"deep_supervision", l.DeepSupervision, 0, 1},
		{"alpha_ponder", l.AlphaPonder, 0, 1e6}, {"alpha_prior", l.AlphaPrior, 0, 1e6},
		{"target_layer", l.TargetLayer, -10, float64(layers) + 10},
		{"prior_deviation", cmp.Or(l.PriorDeviation, 1), 0.05, 1e3}, {"ponder_beta", l.PonderBeta, 0, 1e6},
		{"ponder_lambda", l.PonderLambda, 0, 1}, {"scale", l.Scale, 0, 1e6},
	} {
		if math.IsNaN(v.value) || v.value < v.min || v.value > v.max {
			return fmt.Errorf("%s is %v, want %v to %v", v.name, v.value, v.min, v.max)
		}
	}
	return l.Distill.validate()
}

// classify computes what a decision costs each image, and in d.dheads the gradient of the mean over the batch of
// (1−α)·label + α·teacher, α being 0 without a teacher.
func (n *Network) classify(d *decision, s *shard, b Batch, loss Loss, w *scratch) {
	classes, q := n.config.Classes, n.config.Classifiers()
	factor := loss.scale()
	for i := range s.images {
		lo, hi := i*classes, (i+1)*classes
		b.Target(w.target, s.first+i, loss.LabelSmoothing)
		if b.Teacher == nil {
			dz := d.dheads[0][lo:hi]
			d.label[i] = crossEntropy(dz, d.logits[lo:hi], w.target, 1, factor, b.Size, false)
			if q == 2 {
				kernels.Scale(dz, 0.5)
				copy(d.dheads[1][lo:hi], dz)
			}
			continue
		}
		d.label[i] = crossEntropy(d.dheads[0][lo:hi], d.heads[0][lo:hi], w.target, 1, factor*(1-loss.Distill.Alpha),
			b.Size, false)
		teacher := b.Teacher[(s.first+i)*classes : (s.first+i+1)*classes]
		d.teacher[i] = distill(d.dheads[q-1][lo:hi], d.heads[q-1][lo:hi], teacher, w.target, loss.Distill,
			factor*loss.Distill.Alpha, b.Size, q == 1)
	}
}

// losses sums the shards in order and differentiates what couples all images of the batch: the means under ponder cost
// and prior, which all tokens have alike.
func (n *Network) losses(shards []*shard, batch int, loss Loss) (Stats, halting.Upstream) {
	layers, tokens := n.config.Layers, float64(batch*n.config.Tokens())
	st := Stats{LayerScores: make([]float64, layers)}
	up := halting.Upstream{Score: make([]float64, layers)}
	for _, s := range shards {
		st.CrossEntropy += s.crossEntropy / float64(batch)
		st.Distill += s.distill / float64(batch)
		st.Tokens += s.apart / float64(batch)
		st.Correct += s.correct
		st.MeanDepth += s.depth / tokens
		st.Prior += s.divergence / float64(batch)
		for l, sum := range s.scoreSum {
			st.LayerScores[l] += sum / tokens
		}
	}
	st.Loss = st.CrossEntropy
	if t := loss.Distill; t != nil {
		st.Loss = (1-t.Alpha)*st.CrossEntropy + t.Alpha*st.Distill + t.Tokens*st.Tokens
	}
	if n.scheme.learner == nil {
		return st, up
	}
	if !n.scheme.couples() {
		st.Loss += loss.PonderBeta * st.Prior
		return st, up
	}
	alpha := loss.AlphaPonder + loss.Multiplier
	st.Ponder, up.Remainder = ponderCost(shards, tokens, loss.scale()*alpha)
	st.Prior = n.prior.loss(st.LayerScores, up.Score)
	for l, g := range up.Score {
		up.Score[l] = loss.scale() * loss.AlphaPrior * g / tokens
	}
	st.Loss += alpha*st.Ponder + loss.AlphaPrior*st.Prior
	return st, up
}
