package tools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/report"
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

// Predict maps tensors to tensors. in holds "input" [B, C, H, W], already as the model wants it, and with gradients
// "labels" [B] of whole numbers. The result holds
//
//	logits [B, classes] F32
//	depth  [B, N] I32       N[k], the block after which token k halted
//	scores [L, B, N] F32    h[k,l], block L's own too; 0 where a token was gone, and in a dense model, which has no gate
//	active [L, B, N] U8     1 where the token ran
//	rho    [B, N] F32       N[k] + r[k]
//
// with the method's own depths: unlike elsewhere an image goes on after its class token has halted, until all its
// tokens have. With gradients also loss, loss_ce, loss_ponder, loss_prior, [1] F32 each, and for each tensor NAME of
// timm's layout grad.NAME, in evaluation mode. A dense model has no ponder cost and no prior: both are 0. Other tensors
// of in are ignored. name stands for in in errors.
func Predict(ctx context.Context, m *vit.Model, name string, in *weights.File, o PredictOptions) (
	out []weights.Tensor, err error) {
	if o.Threads, err = parallel.Threads(o.Threads); err != nil {
		return nil, err
	}
	if o.Precision, err = infer.Resolve(cmp.Or(o.Precision, infer.F32), m); err != nil {
		return nil, err
	}
	if o.Loss != nil {
		if err := usage.Wrap(o.Loss.Validate(m.Params.Config.Layers)); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
	}()
	c := m.Params.Config
	images, err := inputTensor(c, in)
	if err != nil {
		return nil, err
	}
	var labels []int32
	if o.Loss != nil {
		if labels, err = labelTensor(c, in, len(images)/c.ImageLen()); err != nil {
			return nil, err
		}
	}
	out, err = o.forward(ctx, m, images)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil || o.Loss == nil {
		return out, err
	}
	grads, err := o.backward(m, images, labels)
	return append(out, grads...), err
}

// Written says what PredictFile and Preprocess wrote.
type Written struct {
	File   string `json:"output"`
	Images int    `json:"images"`
}

// PredictFile is Predict from one safetensors file to another, which appears whole or not at all.
func PredictFile(ctx context.Context, m *vit.Model, input, output string, o PredictOptions) (Written, error) {
	if err := cmp.Or(notInput(output, input), replaceable(output, tensorsExt)); err != nil {
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
func (o PredictOptions) forward(ctx context.Context, m *vit.Model, images []float32) ([]weights.Tensor, error) {
	c := m.Params.Config
	packed, err := infer.PackOptions{Precision: o.Precision, Threads: o.Threads}.Pack(m.Params)
	if err != nil {
		return nil, err
	}
	engine, err := infer.New(packed, infer.Options{Threads: o.Threads, Full: true})
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
func (o PredictOptions) backward(m *vit.Model, images []float32, labels []int32) (out []weights.Tensor, err error) {
	params, err := m.Params.Whole()
	if err != nil {
		return nil, err
	}
	net, err := train.NewNetwork(params, o.Threads)
	if err != nil {
		return nil, err
	}
	grad, size := vit.NewParams(m.Params.Config), m.Params.Config.ImageLen()
	load := func(i int, dst []float32) error {
		copy(dst, images[i*size:])
		return nil
	}
	stats, err := net.Step(train.Batch{Size: len(labels), Labels: labels, Load: load}, *o.Loss, grad)
	if err != nil {
		return nil, err
	}
	scalar := func(name string, value float64) weights.Tensor {
		return weights.Float32Tensor(name, []int{1}, []float32{float32(value)})
	}
	out = []weights.Tensor{scalar("loss", stats.Loss), scalar("loss_ce", stats.CrossEntropy),
		scalar("loss_ponder", stats.Ponder), scalar("loss_prior", stats.Prior)}
	for _, t := range grad.Tensors() {
		if i := kernels.FirstNotFinite(t.Data); i >= 0 {
			return nil, fmt.Errorf("the gradient of %s is %v at element %d", t.Name, t.Data[i], i)
		}
		out = append(out, weights.Float32Tensor("grad."+t.Name, t.Shape, t.Data))
	}
	return out, nil
}

// inputTensor returns the images of in, checked.
func inputTensor(c vit.Config, in *weights.File) ([]float32, error) {
	t, ok := in.Get("input")
	switch {
	case !ok:
		return nil, errors.New(`no tensor "input"`)
	case len(t.Shape) != 4 || !slices.Equal(t.Shape[1:], []int{c.Channels, c.Height, c.Width}):
		return nil, fmt.Errorf(`tensor "input" has shape %v, the model wants [B %d %d %d]`,
			t.Shape, c.Channels, c.Height, c.Width)
	case t.Shape[0] == 0:
		return nil, fmt.Errorf(`tensor "input" has shape %v, so no images`, t.Shape)
	}
	images, err := t.Float32s()
	if err != nil {
		return nil, err
	}
	if i := kernels.FirstNotFinite(images); i >= 0 {
		return nil, fmt.Errorf(`tensor "input" holds %v in image %d`, images[i], i/c.ImageLen())
	}
	return images, nil
}

// labelTensor returns the labels of in, checked.
func labelTensor(c vit.Config, in *weights.File, images int) ([]int32, error) {
	t, ok := in.Get("labels")
	switch {
	case !ok:
		return nil, errors.New(`no tensor "labels", which gradients need`)
	case !slices.Equal(t.Shape, []int{images}):
		return nil, fmt.Errorf(`tensor "labels" has shape %v, the input's images want [%d]`, t.Shape, images)
	}
	labels, err := t.Int32s()
	if err != nil {
		return nil, err
	}
	for i, y := range labels {
		if y < 0 || int(y) >= c.Classes {
			return nil, fmt.Errorf("label %d of image %d, the model has classes 0 to %d", y, i, c.Classes-1)
		}
	}
	return labels, nil
}

// notInput refuses an output file that is one of the inputs, or a model directory's weights: it would be lost.
func notInput(output string, inputs ...string) error {
	if _, err := os.Stat(output); err != nil {
		return nil // it is not there, or writing it will say what is wrong
	}
	if dir, name := filepath.Split(output); name == vit.WeightsFile {
		if _, err := os.Stat(filepath.Join(dir, vit.ConfigFile)); err == nil {
			return usage.Errorf("the output %s is the weights of a model, which would be lost", output)
		}
	}
	for _, input := range inputs {
		if sameFile(input, output) {
			return usage.Errorf("the output %s is the input %s, which would be lost", output, input)
		}
	}
	return nil
}

// sameFile reports whether two names are those of one file, or of one folder, that is there.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// replaceable reports a file that is there and does not look like what is to be written under its name, which has the
// given extension (of tensors, of ONNX or of a picture): perhaps something that the output was not meant to replace.
func replaceable(output, kind string) error {
	b := startOf(output, 64)
	ours, what := len(b) > 8 && b[8] == '{', "holds no tensors" // behind the header's length
	switch kind {
	case pngExt:
		ours, what = report.WrotePNG(b), "is not adavit's"
	case onnxExt:
		ours, what = len(b) > 0 && b[0] == 1<<3, "is not ONNX" // the first field, the version of the format
	}
	if len(b) > 0 && !ours {
		return fmt.Errorf("%s is there and %s; remove it, or name another file", output, what)
	}
	return nil
}

// startOf returns the first bytes of a file, n at most. One that cannot be read has none: writing it will say why.
func startOf(path string, n int64) []byte {
	f, _, err := regular.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, n))
	return b
}

// maxPixels bounds the tensor that Preprocess makes: 1 Gi numbers, 4 GiB.
const maxPixels = 1 << 30

// Preprocess writes the pictures of f as the tensor "input" [B, C, H, W] F32 that the model would be fed, B in the
// order of f, to a safetensors file, which appears whole or, if any picture is bad, not at all. The error names all bad
// ones.
func Preprocess(ctx context.Context, m *vit.Model, f picture.Files, output string, threads int) (Written, error) {
	threads, err := parallel.Threads(threads)
	if err != nil {
		return Written{}, err
	}
	f.Decoding = m.Preprocessor.DecodedBy(f.Decoding).Decoding()
	c, size := m.Params.Config, m.Params.Config.ImageLen()
	files, err := f.Resolve()
	if err != nil {
		return Written{}, err
	}
	inputs := []string{f.List} // "-" names no file
	for _, file := range files {
		inputs = append(inputs, file.Name)
	}
	if err := cmp.Or(notInput(output, inputs...), replaceable(output, tensorsExt)); err != nil {
		return Written{}, err
	}
	if err := m.Preprocessor.Check(c.Channels, c.Height, c.Width); err != nil {
		return Written{}, fmt.Errorf("%s: %w", vit.PreprocessorFile, err)
	}
	if len(files) > maxPixels/size {
		return Written{}, fmt.Errorf("%d images of %d numbers each: a tensor holds at most %d such images",
			len(files), size, maxPixels/size)
	}
	pixels, errs := make([]float32, len(files)*size), make([]error, len(files))
	parallel.For(threads, len(files), func(_, i int) {
		if ctx.Err() != nil {
			return
		}
		img, err := f.Decode(files[i])
		if err != nil {
			errs[i] = err // names the file itself
		} else if err = m.Preprocessor.Apply(pixels[i*size:(i+1)*size], img, c.Channels, c.Height, c.Width); err != nil {
			errs[i] = fmt.Errorf("%s: %w", files[i].Name, err)
		}
	})
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return Written{}, err
	}
	t := weights.Float32Tensor("input", []int{len(files), c.Channels, c.Height, c.Width}, pixels)
	return Written{output, len(files)}, weights.WriteSafetensors(output, nil, []weights.Tensor{t})
}
