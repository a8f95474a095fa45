package train

import "github.com/adavit/adavit/vit"

// Observed is what one branch of a block (attention or MLP) was given and what it made of it, for a few images. Rows
// are tokens; Gradient is that of the batch's loss.
type Observed struct {
	Branch int // 2l for the attention of block l (from 0), 2l+1 for its MLP

	Token    []int32   // [T] original place of each row of the residual stream
	Stream   []float32 // [T, E] the residual stream before the branch
	Gradient []float32 // [T, E] with respect to that

	Ran      []int32   // [T'] original places of the rows that the branch was computed for
	Features []float32 // [T', in] what the branch's last linear map reads: attended values, or the hidden layer after GELU
}

// Observe runs a batch forward and backward and shows what every branch did: from several goroutines, in any order, and
// with slices that are valid for the call alone.
func (n *Network) Observe(b Batch, loss Loss, show func(Observed)) error {
	n.show = show
	defer func() { n.show = nil }()
	_, err := n.Step(b, loss, vit.NewParams(n.config))
	return err
}

// showAttention and showMLP hand out a branch right after its backward pass, which leaves the gradient in w.dx and, of
// an MLP, the hidden layer in w.gelu.
func (n *Network) showAttention(s *shard, l int, w *scratch) {
	if n.show == nil {
		return
	}
	a, e := &s.blocks[l], n.config.Embed
	t := a.inputs(s.images)
	n.show(Observed{2 * l, a.token[:t], s.x[l][:t*e], w.dx[:t*e], a.ran(s.images, w), a.attended[:a.rows(s.images)*e]})
}

func (n *Network) showMLP(s *shard, l int, w *scratch) {
	if n.show == nil {
		return
	}
	a, e, t := &s.blocks[l], n.config.Embed, s.blocks[l].rows(s.images)
	ran := a.ran(s.images, w)
	n.show(Observed{2*l + 1, ran, a.middle[:t*e], w.dx[:t*e], ran, w.gelu[:t*n.config.Hidden]})
}

// ran lists the places of the rows that run.
func (a *activation) ran(images int, w *scratch) []int32 {
	if !a.partial {
		return a.token[:a.inputs(images)]
	}
	w.ran = w.ran[:0]
	for i := range images {
		lo, hi, in, _ := a.image(i)
		w.ran = append(w.ran, a.token[in:in+hi-lo]...)
	}
	return w.ran
}
