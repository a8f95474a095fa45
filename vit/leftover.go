package vit

import (
	"fmt"
	"slices"
	"strings"
)

// What checkpoints hold that has no part in classifying: for a network's other uses, for its training, counters. These
// are the last parts of such tensors' names,
var idleEnds = [...]string{"mask_token", "position_ids", "num_batches_tracked", "n_averaged", "total_ops",
	"total_params"}

// and these the first ones, behind the prefix of the ViT or of what is around it: MAE's decoder, DINO's and iBOT's
// projections, transformers' pooler, losses.
var idleStarts = [...]string{"decoder", "decoder_embed", "decoder_blocks", "decoder_pos_embed", "decoder_norm",
	"decoder_pred", "head.mlp", "head.last_layer", "head2.mlp", "head2.last_layer", "dino_head", "ibot_head", "dino_loss",
	"ibot_patch_loss", "koleo_loss", "pooler", "loss", "loss_fn", "criterion", "opt"}

// headStarts are the first parts of what takes a head's place in training without labels, or stands before it.
var headStarts = [...]string{"head", "heads", "head_dist", "classifier", "cls_classifier", "distillation_classifier",
	"cls_head", "fc", "linear", "mlp_head", "last_layer", "pre_logits", "projection", "projection_head", "projector",
	"predictor", "prototypes"}

// idle reports whether a tensor has no part in classifying.
func (s *state) idle(name string) bool {
	end := name[strings.LastIndex(name, s.sep)+1:]
	return slices.Contains(idleEnds[:], end) || s.starts(name, idleStarts[:])
}

// isHead reports whether a tensor could be part of a head.
func (s *state) isHead(name string) bool { return s.starts(name, headStarts[:]) }

// starts reports whether a name goes on with one of those behind the ViT's prefix or one around it.
func (s *state) starts(name string, with []string) bool {
	for _, level := range s.levels() {
		rest, ok := strings.CutPrefix(name, level)
		for _, start := range with {
			if ok && strings.HasPrefix(rest+s.sep, strings.ReplaceAll(start, ".", s.sep)+s.sep) {
				return true
			}
		}
	}
	return false
}

// group is what a tensor counts as in a note: the first part of its name behind the prefix.
func (s *state) group(name string) string {
	for _, level := range s.levels() {
		if rest, ok := strings.CutPrefix(name, level); ok {
			part, _, more := strings.Cut(rest, s.sep)
			if more {
				part += s.sep
			}
			return level + part
		}
	}
	return name
}

// tally counts names by group, in the order in which they came.
type tally []struct {
	group string
	count int
}

func (t *tally) add(group string) {
	for i := range *t {
		if (*t)[i].group == group {
			(*t)[i].count++
			return
		}
	}
	*t = append(*t, struct {
		group string
		count int
	}{group, 1})
}

func (t tally) String() string {
	const most = 8
	var list []string
	for _, g := range t[:min(len(t), most)] {
		text := fmt.Sprintf("%.120q", g.group)
		if g.count > 1 {
			text += fmt.Sprintf(" (%d tensors)", g.count)
		}
		list = append(list, text)
	}
	if len(t) > most {
		list = append(list, fmt.Sprintf("and %d more", len(t)-most))
	}
	return strings.Join(list, ", ")
}
