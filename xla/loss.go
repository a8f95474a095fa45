package xla

import (
	"cmp"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck // formulas read as formulas

	"github.com/adavit/adavit/train"
)

// knobs are what may change from step to step without another program, in this order, [knobs] as one input.
const (
	knobShare  = iota // of the step's loss that the pass is
	knobAlpha         // α_ponder with the multiplier of a budget
	knobScale         // γ
	knobCenter        // δ
	knobs
)

// Figures of a pass, in the order of its output; after them come the blocks' scores [L] and the rows they needed [L].
const (
	figureLoss = iota
	figureCrossEntropy
	figureDistill
	figureTokens
	figurePonder
	figurePrior
	figureDepth
	figureCorrect
	figureScale  // ∂loss/∂γ
	figureCenter // ∂loss/∂δ
	figureNorm   // of the gradient so far, squared
	figures
)

// example is a batch as nodes. Those after target are nil where there is no teacher.
type example struct {
	images *Node // [B, C, H, W]
	labels *Node // [B] I32
	target *Node // [B, classes]
	logits *Node // [B, classes] a teacher's
	tokens *Node // [B, I, E] a teacher's
}

// losses builds METHOD.md (21)–(31) and (47) on what a pass came to: the loss, and the figures from figureLoss to
// figureCorrect.
func (n *network) losses(w weights, f forward, e example, loss train.Loss, prior []float64, alpha *Node) []*Node {
	c, g := n.config, e.images.Graph()
	batch, layers := float64(e.images.Shape().Dimensions[0]), float64(len(f.fields))
	zero := Const(g, float32(0))
	crossEntropy, distill, tokens := zero, zero, zero
	deep := cmp.Or(loss.DeepSupervision, 1)
	var answers []*Node
	for l, fields := range f.fields {
		logits, read := n.head(w, fields)
		share := 1.
		if len(f.fields) > 1 {
			if share = deep / layers; l == len(f.fields)-1 {
				share += 1 - deep
			}
		}
		answer := average(logits)
		answers = append(answers, answer)
		learns := answer
		if t := loss.Distill; t != nil {
			learns = logits[0]
			distill = Add(distill, MulScalar(distance(logits[len(logits)-1], e.logits, t), share))
		}
		crossEntropy = Add(crossEntropy, MulScalar(entropy(learns, e.target, 1), share))
		if e.tokens != nil && l == len(f.fields)-1 {
			apart := Slice(Sub(read, e.tokens), AxisRange(), AxisRange(), AxisRange(1))
			tokens = MulScalar(ReduceAllSum(Mul(apart, apart)), 1/float64(max(1, apart.Shape().Size())))
		}
	}
	total := crossEntropy
	if t := loss.Distill; t != nil {
		total = Add(MulScalar(crossEntropy, 1-t.Alpha), MulScalar(distill, t.Alpha))
		total = Add(total, MulScalar(tokens, t.Tokens))
	}
	ponder, priorLoss := zero, zero
	stop := n.stops(answers)
	depth := Const(g, float32(c.Layers))
	if n.scheme.adaptive {
		all := batch * float64(c.Tokens())
		ran, seen := zero, zero
		for l, count := range f.counts {
			count = StopGradient(count)
			ran = Add(ran, ReduceAllSum(count))
			if stop != nil {
				count = Mul(count, before(stop, l))
			}
			seen = Add(seen, ReduceAllSum(count))
		}
		ponder = MulScalar(Add(ran, ReduceAllSum(f.left)), 1/all)
		depth = MulScalar(seen, 1/all)
		priorLoss = divergence(n.means(f), prior, loss.ReversePrior)
		total = Add(total, Add(Mul(ponder, alpha), MulScalar(priorLoss, loss.AlphaPrior)))
	}
	return []*Node{total, crossEntropy, distill, tokens, ponder, priorLoss, depth, right(answers, stop, e.labels)}
}

// means are the mean scores Ĥ [L], METHOD.md (25).
func (n *network) means(f forward) *Node {
	var list []*Node
	for _, score := range f.scores {
		list = append(list, ReduceAllMean(score))
	}
	return MulScalar(Stack(list, 0), 1/float64(n.config.Tokens()))
}

// entropy is the mean cross-entropy τ²·H(target, softmax(z/τ)), METHOD.md (21) and (32).
func entropy(z, target *Node, temperature float64) *Node {
	logs := logSoftmax(MulScalar(z, 1/temperature))
	return MulScalar(ReduceAllMean(ReduceSum(Mul(target, logs), -1)), -temperature*temperature)
}

// logSoftmax is that of the last axis.
func logSoftmax(z *Node) *Node {
	z = Sub(z, StopGradient(ReduceAndKeep(z, ReduceMax, -1)))
	return Sub(z, Log(ReduceAndKeep(Exp(z), ReduceSum, -1)))
}

// distance is the mean loss towards a teacher's logits, METHOD.md (22).
func distance(z, teacher *Node, how *train.Distill) *Node {
	if how.Mode == train.DistillHard {
		best := ArgMax(teacher, -1, dtypes.Int32)
		return entropy(z, OneHot(best, z.Shape().Dimensions[1], dtypes.Float32), 1)
	}
	temperature := cmp.Or(how.Temperature, 1)
	logs := StopGradient(logSoftmax(MulScalar(teacher, 1/temperature)))
	q := Exp(logs)
	own := MulScalar(ReduceAllMean(ReduceSum(Mul(q, logs), -1)), temperature*temperature) // −τ²·H(q, q)
	return Add(own, entropy(z, q, temperature))
}

// divergence is KL(q ‖ d) of METHOD.md (26) and (27), or KL(d ‖ q), with the gradient that (34) gives it: means may be
// so small that what they are divided by twice is none in float32. A layer where nothing ran is left out.
func divergence(mean *Node, logPrior []float64, reverse bool) *Node {
	g := mean.Graph()
	logD := make([]float32, len(logPrior))
	for l, v := range logPrior {
		logD[l] = float32(v)
	}
	fixed := StopGradient(mean)
	sum := ReduceAllSum(fixed)
	none := ConvertDType(Equal(sum, ZerosLike(sum)), dtypes.Float32)
	sum = Add(sum, none)
	ran := ConvertDType(GreaterThan(fixed, ZerosLike(fixed)), dtypes.Float32)
	q := Div(fixed, sum)
	ratio := Mul(Sub(Log(Add(q, OneMinus(ran))), Const(g, logD)), ran) // ln(q/d), 0 where nothing ran
	var kl, slope *Node
	if reverse {
		d := Exp(Const(g, logD))
		kl = Neg(ReduceAllSum(Mul(d, ratio)))
		slope = Div(Sub(ran, Div(Mul(d, ran), Add(q, OneMinus(ran)))), sum)
	} else {
		kl = ReduceAllSum(Mul(q, ratio))
		slope = Div(Mul(Sub(ratio, kl), ran), sum)
	}
	kl = Mul(kl, OneMinus(none))
	along := ReduceAllSum(Mul(Sub(mean, fixed), Mul(slope, OneMinus(none)))) // 0, with the gradient
	return Add(kl, along)
}

// stops tells after which block (from 0) each image would end at inference, [B] I32; nil where none ends early.
func (n *network) stops(answers []*Node) *Node {
	if n.scheme.exit == 0 || len(answers) == 1 {
		return nil
	}
	g := answers[0].Graph()
	last := len(answers) - 1
	stop := BroadcastToDims(Const(g, int32(last)), answers[0].Shape().Dimensions[0])
	for l := last - 1; l >= 0; l-- {
		sure := ReduceMax(StopGradient(Softmax(answers[l], -1)), -1)
		ends := GreaterOrEqual(sure, Const(g, float32(n.scheme.exit)))
		stop = Where(ends, BroadcastToShape(Const(g, int32(l)), stop.Shape()), stop)
	}
	return stop
}

// before is 1 for the images that block l (from 0) would run for.
func before(stop *Node, l int) *Node {
	return ConvertDType(GreaterOrEqual(stop, Const(stop.Graph(), int32(l))), dtypes.Float32)
}

// right counts the images whose answer, where they stop, is their label.
func right(answers []*Node, stop, labels *Node) *Node {
	answer := final(answers, stop)
	hit := Equal(ArgMax(answer, -1, dtypes.Int32), labels)
	return ReduceAllSum(ConvertDType(hit, dtypes.Float32))
}

// final are the logits [B, classes] where each image stops.
func final(answers []*Node, stop *Node) *Node {
	answer := answers[len(answers)-1]
	if stop == nil {
		return answer
	}
	for l := len(answers) - 2; l >= 0; l-- {
		here := InsertAxes(Equal(stop, Const(stop.Graph(), int32(l))), -1)
		answer = Where(BroadcastToShape(here, answer.Shape()), answers[l], answer)
	}
	return answer
}
