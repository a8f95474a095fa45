package vit

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/weights"
)

// stateDict is a model's tensors under timm's names.
func stateDict(p *Params) *weights.File {
	f := &weights.File{}
	for _, t := range p.Tensors() {
		f.Tensors = append(f.Tensors, weights.Float32Tensor(t.Name, t.Shape, t.Data))
	}
	return f
}

// TestImport: sizes are found in the shapes, in either naming, whatever tokens and heads a model has.
func TestImport(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		heads := rapid.IntRange(1, 3).Draw(t, "heads")
		grid := rapid.IntRange(1, 3).Draw(t, "grid")
		patch := rapid.IntRange(1, 4).Draw(t, "patch")
		c := Config{Heads: heads, Embed: 4 * heads, Layers: rapid.IntRange(1, 12).Draw(t, "layers"),
			Hidden: rapid.IntRange(1, 9).Draw(t, "hidden"),
			Height: grid * patch, Width: grid * patch, Patch: patch,
			Channels: rapid.SampledFrom([]int{1, 3}).Draw(t, "channels"), Classes: rapid.IntRange(1, 4).Draw(t, "classes")}
		hf := rapid.Bool().Draw(t, "hf")
		prefix := rapid.SampledFrom([]string{"", "model.", "module._orig_mod.", "a.b-1.c."}).Draw(t, "prefix")
		if hf {
			c.Distillation = Distillation(rapid.IntRange(0, 2).Draw(t, "distillation"))
		} else {
			drawTokens(t, &c)
		}
		wide := rapid.Bool().Draw(t, "wide") // not square: the size must be given
		if wide {
			c.Width += c.Patch
		}
		c.Eps, c.Halting.Scheme = 1e-6, "none"
		pieces := timmPieces(c)
		if hf {
			c.Eps, pieces = 1e-12, hfPieces(c)
		}
		p := Initialize(c, 5, 0)
		f := &weights.File{}
		for _, piece := range pieces {
			f.Tensors = append(f.Tensors,
				weights.Float32Tensor(prefix+piece.stored, piece.Shape, p.Data[piece.Offset:][:piece.Len()]))
		}
		o := ImportOptions{Heads: heads, Mean: c.Pooling == NormedMean}
		if wide || c.Registers > 0 { // whose rows may be among the positions, or not
			o.Height, o.Width = c.Height, c.Width
		}
		if wide {
			o.Height, o.Width = c.Height, c.Width
		}
		m, err := Import(f, o)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, m.Params.Config); diff != "" {
			t.Error(diff)
		}
		if !slices.Equal(m.Params.Data, p.Data) {
			t.Error("other parameters")
		}
	})
}

// TestImportVariants: what other ViTs store differently is turned into the same function.
func TestImportVariants(t *testing.T) {
	c := mustVariant(t, "micro")
	p := Initialize(c, 3, 0)
	image := make([]float32, c.Channels*c.Height*c.Width)
	for i := range image {
		image[i] = float32(math.Sin(float64(i)))
	}
	same := func(what string, p *Params, f *weights.File, o ImportOptions) *Model {
		t.Helper()
		o.Heads = c.Heads
		m, err := Import(f, o)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		want := denseLogits(p, image)
		for j, v := range denseLogits(m.Params, image) {
			if math.Abs(v-want[j]) > 1e-5 {
				t.Errorf("%s: logit %d is %v, want %v", what, j, v, want[j])
			}
		}
		return m
	}

	scaled := p.Clone() // what LayerScale amounts to
	f := stateDict(p)
	for l := range scaled.Blocks {
		b := &scaled.Blocks[l]
		for name, linear := range map[string][2][]float32{"ls1": {b.ProjWeight, b.ProjBias},
			"ls2": {b.FC2Weight, b.FC2Bias}} {
			gamma := make([]float32, c.Embed)
			for i := range gamma {
				gamma[i] = float32(i%7) - 2.5
				in := len(linear[0]) / c.Embed
				for j := range in {
					linear[0][i*in+j] *= gamma[i]
				}
				linear[1][i] *= gamma[i]
			}
			f.Tensors = append(f.Tensors,
				weights.Float32Tensor(fmt.Sprintf("blocks.%d.%s.gamma", l, name), []int{c.Embed}, gamma))
		}
	}
	same("LayerScale", scaled, f, ImportOptions{})
	authors := renamed(f, replaced("ls1.gamma", "gamma_1", "ls2.gamma", "gamma_2"))
	if m := same("DeiT III of its authors", scaled, authors, ImportOptions{}); !strings.Contains(
		strings.Join(m.Notes, "\n"), "DeiT III's evaluation") {
		t.Errorf("notes %q", m.Notes)
	}

	bare := p.Clone() // a class token without position
	clear(bare.Position[:c.Embed])
	f = stateDict(bare)
	for i, x := range f.Tensors {
		if x.Name == "pos_embed" {
			f.Tensors[i] = weights.Float32Tensor(x.Name, []int{1, c.Patches(), c.Embed}, bare.Position[c.Embed:])
		}
	}
	same("positions of patches alone", bare, f, ImportOptions{})

	d := c // registers with a position, as timm has them
	d.Registers = 3
	registers := Initialize(d, 4, 0)
	f = stateDict(registers)
	from, more := d.positioned()*d.Embed, make([]float32, d.Registers*d.Embed)
	for i := range more {
		more[i] = float32(i%5) - 2
		registers.Registers[i] += more[i]
	}
	at := slices.IndexFunc(f.Tensors, func(x weights.Tensor) bool { return x.Name == "pos_embed" })
	f.Tensors[at] = weights.Float32Tensor("pos_embed", []int{1, d.Tokens(), d.Embed},
		slices.Concat(registers.Position[:from], more, registers.Position[from:]))
	same("positions of registers", registers, f, ImportOptions{Height: d.Height, Width: d.Width})

	unbiased := p.Clone()
	for l := range unbiased.Blocks {
		clear(unbiased.Blocks[l].QKVBias)
	}
	f = stateDict(unbiased)
	f.Tensors = slices.DeleteFunc(f.Tensors,
		func(x weights.Tensor) bool { return strings.HasSuffix(x.Name, "attn.qkv.bias") })
	same("no qkv biases", unbiased, f, ImportOptions{})

	f = stateDict(p)
	f.Tensors = slices.DeleteFunc(f.Tensors, func(x weights.Tensor) bool { return strings.HasPrefix(x.Name, "head.") })
	m, err := Import(f, ImportOptions{Heads: c.Heads, Classes: 4})
	if err != nil {
		t.Fatal(err)
	}
	body := func(p *Params) []float32 { return p.Data[:len(p.Data)-len(p.HeadWeight)-len(p.HeadBias)] }
	if got := m.Params; got.Config.Classes != 4 ||
		!slices.Equal(body(got), body(p)) || slices.Max(got.HeadWeight) <= 0 {
		t.Error("a model without a head did not get a fresh one")
	}
}

func TestImportRefuses(t *testing.T) {
	c := mustVariant(t, "micro")
	good := stateDict(Initialize(c, 3, 0))
	without := func(name string) func(*weights.File) {
		return func(f *weights.File) {
			f.Tensors = slices.DeleteFunc(f.Tensors, func(x weights.Tensor) bool { return x.Name == name })
		}
	}
	with := func(name string, shape ...int) func(*weights.File) {
		return func(f *weights.File) {
			without(name)(f)
			n := 1
			for _, d := range shape {
				n *= d
			}
			f.Tensors = append(f.Tensors, weights.Float32Tensor(name, shape, make([]float32, n)))
		}
	}
	nothing := func(*weights.File) {}
	for _, v := range []struct {
		change func(*weights.File)
		o      ImportOptions
		fault  string
	}{
		{func(f *weights.File) { f.Tensors = nil }, ImportOptions{}, "no tensors"},
		{without("cls_token"), ImportOptions{Heads: 2}, "behind 0 special tokens"},
		{nothing, ImportOptions{}, "how many attention heads"},
		{nothing, ImportOptions{Heads: 5}, "not a multiple of 5 heads"},
		{nothing, ImportOptions{Heads: -1}, "number of heads is -1"},
		{without("head.weight"), ImportOptions{Heads: 2}, "no head"},
		{without("pos_embed"), ImportOptions{Heads: 2}, `"pos_embed" is missing`},
		{without("patch_embed.proj.weight"), ImportOptions{Heads: 2}, "no patch embedding"},
		{with("patch_embed.proj.weight", 32, 192), ImportOptions{Heads: 2}, "expected one of 4 dimensions"},
		{with("patch_embed.proj.weight", 32, 3, 8, 4), ImportOptions{Heads: 2}, "not square"},
		{with("patch_embed.proj.weight", 32, 3, 0, 0), ImportOptions{Heads: 2}, "has shape [32 3 0 0]"},
		{with("pos_embed", 1, 13, 32), ImportOptions{Heads: 2}, "how large an image"},
		{with("norm_pre.weight", 32), ImportOptions{Heads: 2}, `a layer norm before the blocks, as CLIP has it`},
		{with("blocks.1.attn.q_norm.weight", 32), ImportOptions{Heads: 2}, "q_norm"},
		{with("blocks.0.ls1.gamma", 5), ImportOptions{Heads: 2}, "LayerScale"},
		{with("blocks.0.ls1.gamma", 0), ImportOptions{Heads: 2}, "LayerScale"},
		{with("blocks.2.norm1.weight", 31), ImportOptions{Heads: 2}, "has shape [31]"},
		{without("blocks.2.norm1.weight"), ImportOptions{Heads: 2}, "no part of this model"},
		{without("blocks.2.attn.qkv.bias"), ImportOptions{Heads: 2}, `missing: "blocks.2.attn.qkv.bias"`},
		{nothing, ImportOptions{Heads: 2, Height: 33, Width: 32}, "not a whole number of patches"},
		{nothing, ImportOptions{Heads: 2, Height: 32}, "image of 0×32"},
		{nothing, ImportOptions{Heads: 2, Height: 1 << 14, Width: 1 << 14}, "image height"},
	} {
		f := &weights.File{Tensors: slices.Clone(good.Tensors)}
		v.change(f)
		if _, err := Import(f, v.o); err == nil || !strings.Contains(err.Error(), v.fault) {
			t.Errorf("error %v, want %q", err, v.fault)
		}
	}
}

// TestResampleGrid holds the filter against Pillow's own (Image.resize with BICUBIC in mode "F"), which is PyTorch's
// with antialias.
func TestResampleGrid(t *testing.T) {
	src := []float32{0.5, -1.25, 2, 0.75, 3, -0.5, 0.25, 1, -2, 1.5, 0, -0.75} // 3×4
	for _, v := range []struct {
		h, w int
		want []float64
	}{
		{5, 2, []float64{-0.22821, 1.14513, 0.37385, 0.87259, 1.13946, 0.40186, 0.32581, 0.05165, -0.30265, -0.12699}},
		{2, 7, []float64{1.78512, 0.6829, -1.02392, 0.03035,
			1.45124, 1.14984, 0.86884, -0.22785, 0.17707, 0.81086, 0.49408, -0.01428, -0.11489, -0.1391}},
	} {
		const e = 2 // the second number of each vector is the first's negative
		two := make([]float32, 2*len(src))
		for i, x := range src {
			two[2*i], two[2*i+1] = x, -x
		}
		got := make([]float32, v.h*v.w*e)
		resampleGrid(got, v.h, v.w, two, 3, 4, e, antialiased)
		for i, want := range v.want {
			if math.Abs(float64(got[2*i])-want) > 2e-5 || got[2*i+1] != -got[2*i] {
				t.Errorf("%d×%d, %d: %v, want %v", v.h, v.w, i, got[2*i:2*i+2], want)
			}
		}
	}
}

func TestResize(t *testing.T) {
	m := microModel(t, 4)
	m.Preprocessor = picture.DefaultPreprocessor(32, 32, 3)
	big, err := m.Resize(64, 48)
	if err != nil {
		t.Fatal(err)
	}
	c := big.Params.Config
	if c.Height != 64 || c.Width != 48 || c.Tokens() != 49 ||
		!slices.Equal(big.Params.Position[:c.Embed], m.Params.Position[:c.Embed]) {
		t.Errorf("%+v", c)
	}
	if err := big.Preprocessor.Check(3, 64, 48); err != nil {
		t.Error(err)
	}
	// Pictures cover another shape as timm's evaluation has it, whatever their own: no bars, none squashed.
	short := picture.Preprocessor{DoResize: true, Size: picture.Size{ShortestEdge: 36}, Resample: picture.Bicubic,
		DoCenterCrop: true, Crop: picture.Size{Height: 32, Width: 32}}
	for _, p := range []picture.Preprocessor{m.Preprocessor, short} {
		m := &Model{Params: m.Params, Preprocessor: p}
		for _, side := range [][4]int{{64, 48, 72, 54}, {32, 64, 36, 72}, {64, 64, 72, 72}} {
			other, err := m.Resize(side[0], side[1])
			if err != nil {
				t.Fatal(err)
			}
			if p.CropPct > 0 { // DeiT's 256/224
				side[2], side[3] = side[0]*8/7, side[1]*8/7
			}
			h, w := other.Preprocessor.Resized(4*side[2], 4*side[3], side[0], side[1])
			if h != side[2] || w != side[3] {
				t.Errorf("%v for %d×%d: a picture of that shape becomes %d×%d, want %d×%d", p, side[0], side[1], h, w,
					side[2], side[3])
			}
		}
	}
	if !slices.Equal(big.Params.Blocks[2].FC1Weight, m.Params.Blocks[2].FC1Weight) {
		t.Error("other weights changed")
	}
	back, err := m.Resize(32, 32)
	if err != nil || !slices.Equal(back.Params.Data, m.Params.Data) {
		t.Errorf("the same size changes something: %v", err)
	}
	if _, err := m.Resize(30, 32); err == nil {
		t.Error("a size that is no whole number of patches was accepted")
	}
	if _, err := m.ReplaceHead(3, []string{"a"}, 1); err == nil {
		t.Error("one label for three classes was accepted")
	}
}
