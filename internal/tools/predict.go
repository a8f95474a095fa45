package tools

import (
	"context"
	"fmt"
	"slices"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// PredictOptions say what Predict computes. The zero value runs the model forward, on all CPUs.
type PredictOptions struct {
	Loss      *train.Loss     // not nil: also the loss and its gradients, which need labels
	Threads   int             // 0 for the CPUs that the process may use
	Precision infer.Precision // Auto stands for F32 here, since parity is the usual aim; gradients are always in float32
}

// DefaultLoss is the loss that Predict's callers start from: A-ViT's weights of ponder cost and prior, the prior's
// centre one block after the middle (7 of 12), no label smoothing.
func DefaultLoss(c vit.Config) train.Loss {
	return train.Loss{AlphaPonder: 5e-4, AlphaPrior: 0.1, TargetLayer: float64(c.Layers/2 + 1)}
}

// Predict maps tensors to tensors. in holds "input" [B, C, H, W], already as the model wants it, and with gradients
// "labels" [B] of whole numbers. The result holds
//
//	logits [B, classes] F32
//	depth  [B, N] I32       N[k], the block after which token k halted
//	scores [L, B, N] F32    h[k,l], block L's own too; 0 where a token was gone, and all 0 in a dense model, which has no gate
//	active [L, B, N] U8     1 where the token ran
//	rho    [B, N] F32       N[k] + r[k]
//
// with the method's own depths: unlike elsewhere an image goes on after its class token has halted, until all its
// tokens have. With gradients also loss, loss_ce, loss_ponder, loss_prior, [1] F32 each, and for each tensor NAME of
// timm's layout grad.NAME, in evaluation mode. A dense model has no ponder cost and no prior: both are 0. Other tensors
// of in are ignored. name stands for in in errors.
func Predict(ctx context.Context, m *vit.Model, name string, in *weights.File, o PredictOptions) ([]weights.Tensor,
	error) {
	n, err := parallel.Threads(o.Threads)
	if err != nil {
		return nil, err
	}
	if o.Precision == infer.Auto {
		o.Precision = infer.F32
	}
	p, err := infer.Resolve(o.Precision, m)
	if err != nil {
		return nil, err
	}
	images, err := inputTensor(m.Params.Config, name, in)
	if err != nil {
		return nil, err
	}
	var labels []int32
	if o.Loss != nil {
		if err := usage.Wrap(o.Loss.Validate(m.Params.Config.Layers)); err != nil {
			return nil, err
		}
		if labels, err = labelTensor(m.Params.Config, name, in, len(images)/m.Params.Config.ImageLen()); err != nil {
			return nil, err
		}
	}
	out, err := forward(ctx, m, images, n, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.Loss == nil {
		return out, nil
	}
	grads, err := backward(m, images, labels, *o.Loss, n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return append(out, grads...), nil
}

// Written says what PredictFile and PreprocessFiles wrote.
type Written struct {
	File   string `json:"output"`
	Images int    `json:"images"`
}

// PredictFile is Predict from one safetensors file to another, which appears whole or not at all.
func PredictFile(ctx context.Context, m *vit.Model, input, output string, o PredictOptions) (Written, error) {
	if err := notInput(output, input); err != nil {
		return Written{}, err
	}
	in, err := weights.ReadSafetensors(input)
	if err != nil {
		return Written{}, err
	}
	out, err := Predict(ctx, m, input, in, o)
	if err != nil {
		return Written{}, err
	}
	return Written{output, out[0].Shape[0]}, weights.WriteSafetensors(output, nil, out)
}

// forward runs the engine with a trace and names what comes out.
func forward(ctx context.Context, m *vit.Model, images []float32, threads int, p infer.Precision) ([]weights.Tensor,
	error) {
	c := m.Params.Config
	packed, err := infer.Pack(m.Params, p)
	if err != nil {
		return nil, err
	}
	engine, err := infer.New(packed, infer.Options{Threads: threads, Full: true})
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	out := infer.Output{Trace: &infer.Trace{}}
	if err := engine.Run(ctx, infer.Batch{Images: images}, &out); err != nil {
		return nil, err
	}
	if i := kernels.FirstNotFinite(out.Logits); i >= 0 {
		return nil, fmt.Errorf("logit %d of image %d is %v: the weights or the input are beyond what float32 can compute",
			i%c.Classes, i/c.Classes, out.Logits[i])
	}
	b, l, n := len(images)/c.ImageLen(), c.Layers, c.Tokens()
	return []weights.Tensor{
		weights.Float32Tensor("logits", []int{b, c.Classes}, out.Logits),
		weights.Int32Tensor("depth", []int{b, n}, out.Trace.Depth),
		weights.Float32Tensor("scores", []int{l, b, n}, out.Trace.Score),
		weights.Uint8Tensor("active", []int{l, b, n}, out.Trace.Active),
		weights.Float32Tensor("rho", []int{b, n}, out.Trace.Rho),
	}, nil
}

// backward runs a training step without an update and names what comes out.
func backward(m *vit.Model, images []float32, labels []int32, loss train.Loss, threads int) ([]weights.Tensor, error) {
	size := m.Params.Config.ImageLen()
	net, err := train.NewNetwork(m.Params, threads)
	if err != nil {
		return nil, err
	}
	grad := vit.NewParams(m.Params.Config)
	loss.DropPath = 0
	stats, err := net.Step(train.Batch{Size: len(labels), Labels: labels, Load: func(i int, dst []float32) error {
		copy(dst, images[i*size:(i+1)*size])
		return nil
	}}, loss, grad)
	if err != nil {
		return nil, err
	}
	var out []weights.Tensor
	for _, v := range []struct {
		name  string
		value float64
	}{{"loss", stats.Loss}, {"loss_ce", stats.CrossEntropy}, {"loss_ponder", stats.Ponder}, {"loss_prior", stats.Prior}} {
		out = append(out, weights.Float32Tensor(v.name, []int{1}, []float32{float32(v.value)}))
	}
	for _, t := range grad.Tensors() {
		if i := kernels.FirstNotFinite(t.Data); i >= 0 {
			return nil, fmt.Errorf("the gradient of %s is %v at element %d", t.Name, t.Data[i], i)
		}
		out = append(out, weights.Float32Tensor("grad."+t.Name, t.Shape, t.Data))
	}
	return out, nil
}

// inputTensor returns the images of in, checked.
func inputTensor(c vit.Config, name string, in *weights.File) ([]float32, error) {
	t, ok := in.Get("input")
	if !ok {
		return nil, fmt.Errorf("%s: no tensor %q", name, "input")
	}
	want := []int{c.Channels, c.Height, c.Width}
	if len(t.Shape) != 4 || !slices.Equal(t.Shape[1:], want) {
		return nil, fmt.Errorf("%s: tensor %q has shape %v, the model wants [B %d %d %d]", name, "input", t.Shape, want[0],
			want[1], want[2])
	}
	if t.Shape[0] == 0 {
		return nil, fmt.Errorf("%s: tensor %q has shape %v, so no images", name, "input", t.Shape)
	}
	images, err := t.Float32s()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if i := kernels.FirstNotFinite(images); i >= 0 {
		return nil, fmt.Errorf("%s: tensor %q holds %v in image %d", name, "input", images[i], i/c.ImageLen())
	}
	return images, nil
}

// labelTensor returns the labels of in, checked.
func labelTensor(c vit.Config, name string, in *weights.File, images int) ([]int32, error) {
	t, ok := in.Get("labels")
	if !ok {
		return nil, fmt.Errorf("%s: no tensor %q, which gradients need", name, "labels")
	}
	if !slices.Equal(t.Shape, []int{images}) {
		return nil, fmt.Errorf("%s: tensor %q has shape %v, the input's images want [%d]", name, "labels", t.Shape, images)
	}
	labels, err := t.Int32s()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for i, y := range labels {
		if y < 0 || int(y) >= c.Classes {
			return nil, fmt.Errorf("%s: label %d of image %d, the model has classes 0 to %d", name, y, i, c.Classes-1)
		}
	}
	return labels, nil
}
