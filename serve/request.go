package serve

import (
	"math"
	"net/http"
	"time"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/serve/load"
	"github.com/adavit/adavit/vit"
)

// Names of tensors.
const (
	inputPixels = "input" // FP32 [B, C, H, W], normalised as the model wants it: what adavit predict takes
	inputImage  = "image" // BYTES [B], picture files, prepared as adavit classify prepares them

	outputLogits        = "logits"        // FP32 [B, classes]
	outputProbabilities = "probabilities" // FP32 [B, classes], softmax of the logits
	outputDepth         = "depth"         // INT32 [B, N] blocks that each token ran in, the special tokens first
)

// Request is one request for inference, of whichever interface.
type Request struct {
	Model   string
	Version string // "": the highest
	ID      string
	Inputs  []Tensor
	Outputs []Output     // none: all
	Budget  infer.Budget // of each image; zeros: the server's
	Timeout time.Duration
}

// Output is one output that a request wants.
type Output struct {
	Name    string
	Classes int // > 0: not the tensor but so many of its largest values, as "value:index:label"
}

// Response is what a Request comes to.
type Response struct {
	Model, Version, ID string
	Outputs            []Tensor
	Images             int
	Cost
	Times Times
}

// Cost is what an answer cost and why. That of several images is their sum, and their mean budget.
type Cost struct {
	Applied     float64     // compute_budget_applied: share of the dense token-blocks that was aimed at
	Reason      load.Reason // budget_reason
	TokenBlocks int
	MACs        int64
}

// Times says where the time of an answer went: of several images, the longest each.
type Times struct{ Decode, Queue, Infer, Total time.Duration }

// batch checks a request's input against a model, and returns it with the number of its images: FP32, whose elements
// (*Tensor).pixels checks, or BYTES, a picture file each.
func (r *Request) batch(c *vit.Config) (t *Tensor, images int, err error) {
	if len(r.Inputs) != 1 {
		return nil, 0, refuse(http.StatusBadRequest, "%d inputs; give either %q (FP32 [-1, %d, %d, %d]) or %q (BYTES [-1])",
			len(r.Inputs), inputPixels, c.Channels, c.Height, c.Width, inputImage)
	}
	t = &r.Inputs[0]
	switch t.Name {
	case inputPixels:
		if t.Datatype != FP32 || len(t.Shape) != 4 || t.Shape[1] != int64(c.Channels) ||
			t.Shape[2] != int64(c.Height) || t.Shape[3] != int64(c.Width) {
			return nil, 0, t.wrong("%s %v, want FP32 [-1, %d, %d, %d]", t.Datatype, t.Shape, c.Channels, c.Height, c.Width)
		}
		have := len(t.Floats) + len(t.raw)/4
		if n, err := elements(t.Shape); err != nil || n != have {
			return nil, 0, t.wrong("%d elements do not fill shape %v", have, t.Shape)
		}
	case inputImage:
		if n, err := elements(t.Shape); err != nil || t.Datatype != Bytes || n != len(t.Bytes) ||
			len(t.Shape) != 1 && !(len(t.Shape) == 2 && t.Shape[1] == 1) {
			return nil, 0, t.wrong("%s %v with %d elements, want BYTES [-1], a picture file each", t.Datatype, t.Shape,
				len(t.Bytes))
		}
	default:
		return nil, 0, refuse(http.StatusBadRequest, "there is no input %q; the model takes %q or %q", t.Name, inputPixels,
			inputImage)
	}
	if t.Shape[0] == 0 {
		return nil, 0, t.wrong("no image in it")
	}
	return t, int(t.Shape[0]), nil
}

// pixels gives images the tensor's elements, size each, which must be finite.
func (t *Tensor) pixels(images []*image, size int) error {
	for i, img := range images {
		img.Pixels, img.pixels = t.floats(i*size, size, img.pixels)
		if at := kernels.FirstNotFinite(img.Pixels); at >= 0 {
			return t.wrong("element %d of image %d is %v; all must be finite", at, i, img.Pixels[at])
		}
	}
	return nil
}

// outputs checks which outputs a request wants.
func (r *Request) outputs(c *vit.Config) ([]Output, error) {
	if len(r.Outputs) == 0 {
		return []Output{{Name: outputLogits}, {Name: outputProbabilities}, {Name: outputDepth}}, nil
	}
	seen := map[string]bool{}
	for _, o := range r.Outputs {
		switch {
		case o.Name != outputLogits && o.Name != outputProbabilities && o.Name != outputDepth:
			return nil, refuse(http.StatusBadRequest, "there is no output %q; the model has %q, %q and %q", o.Name, outputLogits,
				outputProbabilities, outputDepth)
		case seen[o.Name]:
			return nil, refuse(http.StatusBadRequest, "output %q is asked for twice", o.Name)
		case o.Classes < 0 || o.Classes > 0 && o.Name == outputDepth:
			return nil, refuse(http.StatusBadRequest, "output %q: classification %d makes no sense; ask it of %q or %q", o.Name,
				o.Classes, outputProbabilities, outputLogits)
		}
		seen[o.Name] = true
	}
	return r.Outputs, nil
}

// checkTimeout reports a time that makes no sense.
func checkTimeout(seconds float64) (time.Duration, error) {
	if !(seconds >= 0 && seconds < math.MaxInt64/1e9) {
		return 0, refuse(http.StatusBadRequest, "a timeout of %g µs makes no sense; want 0 (the server's own) to 9e15",
			seconds*1e6)
	}
	return time.Duration(seconds * 1e9), nil
}
