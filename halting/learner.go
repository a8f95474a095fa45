package halting

// Learner is implemented by schemes whose gates are learnt: they have a score in every block and a gradient for it.
type Learner interface {
	Scheme
	// Gate returns the constants of sigmoid(scale·gate − center).
	Gate() (scale, center float32)
	// Backward writes dGate[l,k] = ∂loss/∂t[k,l][0] for one image, scores and depths being what Step made. score and
	// dGate are [L, N] by layer and original token place, depth is [N]. With z = scale·gate − center, ∂loss/∂z is
	// dGate/scale.
	Backward(dGate, score []float32, depth []int32, up Upstream)
}

// Supervised is implemented by schemes that need a prediction after every block: in training each block's readouts are
// classified.
type Supervised interface {
	Scheme
	Deep()
}

// Upstream is the loss's gradient with respect to what halting contributes to it, for one image. Depths are constants.
type Upstream struct {
	Weight    []float32 // [Q, L] ∂loss/∂p[k,l] of the tokens k < Q that have a head, through their mean fields
	Remainder float32   // ∂loss/∂r[k], the same for all tokens: α_ponder / (B·N)
	// [L] ∂loss/∂h[k,l] through the prior, the same for all tokens that ran in block l; 1/h in size, so beyond float32
	// for gates that are shut
	Score  []float64
	Lambda []float64 // [L] PonderNet alone, which reads nothing else: ∂loss/∂λ[l] of this image (see train's ponderLoss)
}
