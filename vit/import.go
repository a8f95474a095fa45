package vit

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/weights"
)

// ImportOptions say what a state dict, tensors without a config.json, does not.
type ImportOptions struct {
	Heads         int            // attention heads; 0 = as the published models of that width have
	Height, Width int            // size of an image in pixels; 0 = a square, as the position embedding has it
	Classes       int            // of a head, where the file has none; 0 = a head is wanted
	Eps           float64        // of the layer norms; 0 = as timm or transformers has it by default
	Halting       halting.Config // zero = a dense model
}

// publishedHeads gives the attention heads of the published ViT and DeiT models by their width (Dosovitskiy et al.
// 2021, Touvron et al. 2021, Zhai et al. 2022).
var publishedHeads = map[int]int{192: 3, 384: 6, 512: 8, 768: 12, 1024: 16, 1280: 16, 1408: 16, 1664: 16}

// Import makes a model from tensors alone, under timm's names or transformers'. Sizes come from the shapes. If the
// image size asked for differs from the position embedding's, that is resampled (Model.Resize). The preprocessor is
// DeiT's, picture.DefaultPreprocessor.
//
// LayerScale (DeiT III: blocks.N.ls1.gamma) is folded into the linear maps before it, which is the same function; a
// position embedding without rows for the special tokens gets zeros for them. Whatever else this program does not
// compute, such as a norm before the blocks, is an error.
func Import(f *weights.File, o ImportOptions) (*Model, error) {
	m, err := importModel(f, o)
	if err != nil {
		return nil, fmt.Errorf("vit: %w", err)
	}
	return m, nil
}

func importModel(f *weights.File, o ImportOptions) (*Model, error) {
	l, err := findNaming(f)
	if err != nil {
		return nil, err
	}
	if f, err = foldLayerScale(f, l); err != nil {
		return nil, err
	}
	c, qkvBias, err := l.config(f, o)
	if err != nil {
		return nil, err
	}
	_, hasHead := f.Get(l.name(c, "head.weight"))
	p, err := fill(c, complete(f, c, l, !hasHead), l.prefix, l.pieces(c, qkvBias))
	if err != nil {
		return nil, err
	}
	m := &Model{Params: p, Preprocessor: picture.DefaultPreprocessor(c.Height, c.Width, c.Channels)}
	if !hasHead {
		if m, err = m.ReplaceHead(o.Classes, nil, 0); err != nil {
			return nil, err
		}
	}
	if o.Height != 0 && (o.Height != c.Height || o.Width != c.Width) {
		return m.Resize(o.Height, o.Width)
	}
	return m, nil
}

// naming is how a file calls its tensors.
type naming struct {
	hf     bool   // as transformers does; else as timm does
	prefix string // before all names of timm; transformers' own is part of the names
	bare   bool   // transformers' names without their "vit." or "deit."
}

// findNaming looks for the class token.
func findNaming(f *weights.File) (naming, error) {
	for _, l := range [...]struct {
		token string
		naming
	}{
		{"cls_token", naming{}},
		{"model.cls_token", naming{prefix: "model."}},
		{"module.cls_token", naming{prefix: "module."}},
		{"vit.embeddings.cls_token", naming{hf: true}},
		{"deit.embeddings.cls_token", naming{hf: true}},
		{"embeddings.cls_token", naming{hf: true, bare: true}},
	} {
		if _, ok := f.Get(l.token); ok {
			return l.naming, nil
		}
	}
	var names []string
	for _, t := range f.Tensors {
		names = append(names, t.Name)
	}
	if len(names) == 0 {
		return naming{}, fmt.Errorf("the file holds no tensors")
	}
	return naming{}, fmt.Errorf("no class token (%q in timm's names, %q in transformers'): "+
		"not a ViT, or one that this program does not know; the file has %s",
		"cls_token", "vit.embeddings.cls_token", some(names))
}

// pieces lists a model's tensors in this naming.
func (l naming) pieces(c Config, qkvBias bool) []piece {
	if !l.hf {
		return timmPieces(c, l.prefix, qkvBias)
	}
	list := hfPieces(c, qkvBias)
	if l.bare {
		for i := range list {
			list[i].stored = strings.TrimPrefix(list[i].stored, hfKinds[c.Distillation].prefix+".")
		}
	}
	return list
}

// name translates one name of timm's; transformers has three tensors for qkv's, of which this is the query's.
func (l naming) name(c Config, timm string) string {
	for _, p := range l.pieces(c, true) {
		if p.Name == timm {
			return p.stored
		}
	}
	return ""
}

// config reads the sizes from the shapes.
func (l naming) config(f *weights.File, o ImportOptions) (c Config, qkvBias bool, err error) {
	// A Config of one block is enough to translate names; its sizes are found on the way.
	c = Config{Embed: 1, Heads: 1, Layers: 1, Hidden: 1, Height: 1,
		Width: 1, Patch: 1, Channels: 1, Classes: 1, Eps: 1e-6, Halting: o.Halting}
	if c.Halting.Scheme == "" {
		c.Halting = halting.Dense()
	}
	if l.hf {
		c.Eps = 1e-12
	}
	c.Eps = cmp.Or(o.Eps, c.Eps)
	has := func(d Distillation, timm string) bool {
		t := c
		t.Distillation = d
		_, ok := f.Get(l.name(t, timm))
		return ok
	}
	switch {
	case has(DistillHead, "head_dist.weight"):
		c.Distillation = DistillHead
	case has(DistillToken, "dist_token"):
		c.Distillation = DistillToken
	}
	_, qkvBias = f.Get(l.name(c, "blocks.0.attn.qkv.bias"))
	shape := func(timm string, rank int) []int {
		name := l.name(c, timm)
		t, ok := f.Get(name)
		switch {
		case err != nil:
		case !ok:
			err = fmt.Errorf("tensor %q is missing", name)
		case len(t.Shape) != rank || slices.Min(t.Shape) < 1:
			err = fmt.Errorf("tensor %.120q has shape %v, expected one of %d dimensions", name, t.Shape, rank)
		default:
			return t.Shape
		}
		return make([]int, rank)
	}
	patch, positions, hidden := shape("patch_embed.proj.weight", 4),
		shape("pos_embed", 3), shape("blocks.0.mlp.fc1.weight", 2)
	head := []int{o.Classes}
	if _, ok := f.Get(l.name(c, "head.weight")); ok {
		head = shape("head.weight", 2)
	} else if o.Classes == 0 && err == nil {
		err = fmt.Errorf("the model has no head (no tensor %q); say how many classes a new one shall have",
			l.name(c, "head.weight"))
	}
	first, rest, _ := strings.Cut(l.name(c, "blocks.0.norm1.weight"), "0")
	for c.Layers = 0; c.Layers <= maxLayers; c.Layers++ {
		if _, ok := f.Get(fmt.Sprint(first, c.Layers, rest)); !ok {
			break
		}
	}
	c.Embed, c.Channels, c.Patch, c.Hidden, c.Classes = patch[0], patch[1], patch[2], hidden[0], head[0]
	c.Heads = cmp.Or(o.Heads, publishedHeads[c.Embed])
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
	return c, qkvBias, err
}

// What ImportOptions must say where a file does not.
var (
	ErrHeads = errors.New("the file does not say how many attention heads")
	ErrSize  = errors.New("the file does not say how large an image is")
)

// grid sets the image size from that asked for, if the position embedding of n rows fits it, else from n, which then is
// a square.
func (c *Config) grid(n, height, width int) error {
	s := c.Special()
	if (height != 0) != (width != 0) || height < 0 || width < 0 {
		return fmt.Errorf("image of %d×%d pixels", width, height)
	}
	if height%c.Patch != 0 || width%c.Patch != 0 {
		return fmt.Errorf("image of %d×%d pixels is not a whole number of patches of %d×%d",
			height, width, c.Patch, c.Patch)
	}
	if k := (height / c.Patch) * (width / c.Patch); height != 0 && (n == s+k || n == k) {
		c.Height, c.Width = height, width
		return nil
	}
	for _, k := range [...]int{n - s, n} {
		if side := int(math.Sqrt(float64(max(k, 0)))); k > 0 && side*side == k && side*c.Patch <= maxSide {
			c.Height, c.Width = side*c.Patch, side*c.Patch
			return nil
		}
	}
	return fmt.Errorf("%w: a position embedding of %d rows is no square of patches behind %d special tokens",
		ErrSize, n, s)
}

// foldLayerScale multiplies proj and fc2 of every block by the learnt scales γ that follow them: γ ⊙ (W·x + b) = (γ ⊙
// W)·x + γ ⊙ b.
func foldLayerScale(f *weights.File, l naming) (*weights.File, error) {
	if l.hf {
		return f, nil
	}
	g := &weights.File{}
	for _, t := range f.Tensors {
		isScale := false
		for scale, linear := range map[string]string{".ls1.gamma": ".attn.proj", ".ls2.gamma": ".mlp.fc2"} {
			isScale = isScale || strings.HasSuffix(t.Name, scale)
			block, kind, _ := strings.Cut(t.Name, linear)
			gamma, ok := f.Get(block + scale)
			if !ok || kind != ".weight" && kind != ".bias" {
				continue
			}
			var err error
			if t, err = scaled(t, gamma); err != nil {
				return nil, err
			}
		}
		if !isScale {
			g.Tensors = append(g.Tensors, t)
		}
	}
	return g, nil
}

// scaled multiplies a tensor's rows by the elements of gamma.
func scaled(t, gamma weights.Tensor) (weights.Tensor, error) {
	by, err := gamma.Float32s()
	if err != nil {
		return t, err
	}
	x, err := t.Float32s()
	if err != nil || len(t.Shape) == 0 || t.Shape[0] != len(by) {
		return t, fmt.Errorf("tensor %.120q of shape %v cannot be scaled by %d numbers of LayerScale",
			t.Name, t.Shape, len(by))
	}
	for i := range x {
		x[i] *= by[i/(len(x)/len(by))]
	}
	return weights.Float32Tensor(t.Name, t.Shape, x), nil
}

// complete adds zeros for what a file may lack: the special tokens' rows of the position embedding and, if it has no
// head, all of that.
func complete(f *weights.File, c Config, l naming, headless bool) *weights.File {
	g := &weights.File{Tensors: slices.Clone(f.Tensors)}
	positions := l.name(c, "pos_embed")
	for i, t := range g.Tensors {
		if t.Name == positions && len(t.Shape) == 3 && t.Shape[1] == c.Patches() {
			g.Tensors[i].Shape = []int{t.Shape[0], c.Tokens(), t.Shape[2]}
			g.Tensors[i].Data = slices.Concat(make([]byte, c.Special()*t.Shape[2]*t.DType.Size()), t.Data)
		}
	}
	for _, p := range l.pieces(c, true) {
		if headless && strings.HasPrefix(p.Name, "head") {
			g.Tensors = append(g.Tensors, weights.Float32Tensor(p.stored, p.Shape, make([]float32, p.Len())))
		}
	}
	return g
}
