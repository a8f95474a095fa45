package vit

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/weights"
)

// ImportOptions say what a state dict, tensors without a config.json, does not.
type ImportOptions struct {
	Heads         int            // attention heads; 0 = as the published models of that width have
	Height, Width int            // size of an image in pixels; 0 = a square, as the position embedding has it
	Classes       int            // of a fresh head in the place of whatever the file has; 0 = a head is wanted
	Prefix        string         // of the names of the tensors meant; "" = the only one there is, or a teacher's
	Eps           float64        // of the layer norms; 0 = as timm or transformers has it by default
	Halting       halting.Config // zero = a dense model
	Prepared      bool           // it is known how pictures become the input: no note says what is usual
	Mean          bool           // the head looks at the patches' mean; fc_norm, a head of 2E inputs say so themselves
}

// publishedHeads gives the attention heads of the published ViT and DeiT models by their width (Dosovitskiy et al.
// 2021, Touvron et al. 2021, Zhai et al. 2022, timm).
var publishedHeads = map[int]int{64: 2, 96: 3, 192: 3, 256: 4, 320: 5, 384: 6, 512: 8, 640: 10, 768: 12, 832: 13,
	896: 14, 1024: 16, 1152: 16, 1280: 16, 1408: 16, 1536: 24, 1664: 16}

// Import makes a model from tensors alone, under the names of timm (which are DeiT's, DINO's, DINOv2's and MAE's, too),
// transformers, torchvision or Google's JAX code, behind any one prefix. Sizes come from the shapes. If the image size
// asked for differs from the position embedding's, that is resampled (Model.Resize). The preprocessor is the usual one
// of those who publish under such names. The model's Notes say what was chosen and what was left out.
//
// LayerScale is folded into the linear maps before it, which is the same function; a position embedding without rows
// for the special tokens gets zeros for them. Whatever else this program does not compute, such as a norm before the
// blocks, is an error.
func Import(f *weights.File, o ImportOptions) (*Model, error) {
	m, guesses, err := importModel(f, o)
	if err == nil {
		m.Params, err = m.Params.whole()
	}
	if err != nil {
		return nil, fmt.Errorf("vit: %w", err)
	}
	m.Notes = append(m.Notes, guesses...)
	return m, nil
}

// importModel is Import; guesses say what it took for granted, where the file alone leaves that open.
func importModel(f *weights.File, o ImportOptions) (m *Model, guesses []string, err error) {
	fail := func(err error) (*Model, []string, error) { return nil, nil, err }
	s, err := readState(f, o.Prefix, o.Classes != 0)
	if err != nil {
		return fail(err)
	}
	c, err := s.config(o)
	if err != nil {
		return fail(err)
	}
	m = &Model{}
	qkvBias := s.has("blocks.0.attn.qkv.bias") || s.has("blocks.0.attn.query.bias")
	if m.Params, err = s.params(c, qkvBias); err != nil {
		return fail(err)
	}
	if o.Classes != 0 {
		if m, err = m.ReplaceHead(o.Classes, nil, 0); err != nil {
			return fail(err)
		}
	}
	if o.Heads == 0 && s.heads == 0 {
		guesses = append(guesses, fmt.Sprintf("the file does not say how many attention heads there are: %d are taken, as "+
			"published models of width %d have", c.Heads, c.Embed))
	}
	if s.family == transformers {
		guesses = append(guesses, fmt.Sprintf("the file does not say layer norm's eps: %v is taken, as transformers has it "+
			"by default for tensors of such names; change layer_norm_eps in %s if the model was made otherwise", c.Eps,
			ConfigFile))
	}
	m.Notes = s.notes
	prep, usual := s.preprocessor(c)
	m.Preprocessor = prep
	if o.Height != 0 && (o.Height != c.Height || o.Width != c.Width) {
		if m, err = m.Resize(o.Height, o.Width); err != nil {
			return fail(err)
		}
	}
	if !o.Prepared {
		guesses = append(guesses, fmt.Sprintf("the file does not say how pictures become its input: %s is taken (%s); "+
			"change %s if the model was trained otherwise", usual, m.Preprocessor, PreprocessorFile))
	}
	return m, guesses, nil
}

// preprocessor returns how those who publish under such names prepare pictures for evaluation, and what that is called.
func (s *state) preprocessor(c Config) (p picture.Preprocessor, usual string) {
	p = picture.DefaultPreprocessor(c.Height, c.Width, c.Channels)
	switch {
	case c.Channels != 3:
		return p, "a plain resize"
	case s.family == jax:
		half := []float64{0.5, 0.5, 0.5}
		p.Resample, p.Size, p.Mean, p.Std = picture.Bilinear, picture.Size{Height: c.Height, Width: c.Width}, half, half
		p.DoCenterCrop, p.Crop = false, picture.Size{}
		return p, "that of Google's ViT"
	case s.family.name == "torchvision":
		p.Resample = picture.Bilinear
		return p, "torchvision's evaluation"
	case s.deit3:
		return p.Keeping(1, c.Height, c.Width), "DeiT III's evaluation"
	}
	return p, "DeiT's evaluation"
}

// config reads the sizes from the shapes.
func (s *state) config(o ImportOptions) (c Config, err error) {
	c = Config{Eps: 1e-6, Halting: o.Halting}
	if c.Halting.Scheme == "" {
		c.Halting = halting.Dense()
	}
	if s.family == transformers {
		c.Eps = usualEps(s.modelType())
	}
	c.Eps = cmp.Or(o.Eps, c.Eps)
	switch {
	case s.has("head_dist.weight"):
		c.Distillation = DistillHead
	case s.has("dist_token"):
		c.Distillation = DistillToken
	}
	s.findTokens(&c, o.Mean)
	shape := func(timm string, rank int) []int {
		t, ok := s.get(timm)
		switch {
		case err != nil:
		case !ok:
			if err = fmt.Errorf("tensor %q is missing", s.full(timm)); len(s.extra) > 0 {
				err = fmt.Errorf("%w, while this program does not know %s", err, some(s.extra))
			}
		case len(t.Shape) != rank || slices.Min(t.Shape) < 1:
			err = fmt.Errorf("tensor %.120q has shape %v, expected one of %d dimensions", t.Name, t.Shape, rank)
		default:
			return t.Shape
		}
		return make([]int, rank)
	}
	patch, positions, hidden := shape("patch_embed.proj.weight", 4),
		shape("pos_embed", 3), shape("blocks.0.mlp.fc1.weight", 2)
	if c.Classes = o.Classes; s.has("head.weight") {
		head := shape("head.weight", 2)
		if c.Classes = head[0]; err == nil && head[1] == 2*hidden[1] && !c.NoClassToken {
			c.Pooling = ClassAndMean
		}
	} else if o.Classes == 0 && err == nil {
		err = s.headless()
	}
	for c.Layers = 0; c.Layers <= maxLayers && s.has(fmt.Sprintf("blocks.%d.norm1.weight", c.Layers)); {
		c.Layers++
	}
	c.Embed, c.Channels, c.Patch, c.Hidden = patch[0], patch[1], patch[2], hidden[0]
	c.Heads = cmp.Or(o.Heads, s.heads, publishedHeads[c.Embed])
	switch {
	case err != nil:
	case patch[2] != patch[3]:
		err = fmt.Errorf("patches of %d×%d pixels are not square", patch[2], patch[3])
	case c.Heads == 0:
		err = fmt.Errorf("%w a model of width %d has", ErrHeads, c.Embed)
	default:
		err = c.grid(positions[1], o.Height, o.Width)
	}
	if err == nil {
		err = c.Validate()
	}
	return c, err
}

// headless is the error about a model without a head.
func (s *state) headless() error {
	if len(s.extra) > 0 {
		return fmt.Errorf("%w, or none that this program knows among %s", ErrNoHead, some(s.extra))
	}
	return fmt.Errorf("%w (no tensor such as %q or %q): it needs a fresh one, and fine-tuning", ErrNoHead, "head.weight",
		"classifier.weight")
}

// What ImportOptions must say where a file does not.
var (
	ErrHeads  = errors.New("the file does not say how many attention heads")
	ErrSize   = errors.New("the file does not say how large an image is")
	ErrNoHead = errors.New("the model has no head")
)

// grid sets the image size from that asked for, if the position embedding of n rows fits it, else from n, which then is
// a square. It may have rows for all special tokens, for all but the registers, or for patches alone.
func (c *Config) grid(n, height, width int) error {
	s, p := c.Special(), c.positioned()
	if (height != 0) != (width != 0) || height < 0 || width < 0 {
		return fmt.Errorf("image of %d×%d pixels", width, height)
	}
	if height%c.Patch != 0 || width%c.Patch != 0 {
		return fmt.Errorf("image of %d×%d pixels is not a whole number of patches of %d×%d",
			height, width, c.Patch, c.Patch)
	}
	if k := (height / c.Patch) * (width / c.Patch); height != 0 && (n == s+k || n == p+k || n == k) {
		c.Height, c.Width = height, width
		return nil
	}
	for _, k := range [...]int{n - p, n - s, n} {
		if side := int(math.Sqrt(float64(max(k, 0)))); k > 0 && side*side == k && side*c.Patch <= maxSide {
			c.Height, c.Width = side*c.Patch, side*c.Patch
			return nil
		}
	}
	return fmt.Errorf("%w: a position embedding of %d rows is no square of patches behind %d special tokens",
		ErrSize, n, s)
}
