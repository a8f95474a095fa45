// Package vit describes vision transformers: their sizes, their parameters, and their directory on disk.
//
// An image of C channels and H×W pixels is cut into K = (H/P)·(W/P) patches, row by row. With a class token in front
// there are N = K+1 tokens of E numbers. In the names of timm, whose layout Params keeps (a linear map is [out, in], y
// = W·x + b):
//
//	cls_token [E]          unless a model has none
//	dist_token [E]         DeiT's distillation token, behind the class token; N = K+2 then
//	reg_token [R, E]       registers behind these
//	pos_embed [N−R, E]     of all but the registers
//	patch_embed.proj       weight [E, C·P·P], bias [E]      a patch's pixels in the order channel, row, column
//	blocks.0 … blocks.L−1:
//	  norm1, norm2         weight [E], bias [E]
//	  attn.qkv             weight [3E, E], bias [3E]        rows: queries, keys, values; heads contiguous inside each
//	  attn.proj            weight [E, E], bias [E]
//	  mlp.fc1              weight [F, E], bias [F]          F = hidden width, 4E in all published variants
//	  mlp.fc2              weight [E, F], bias [E]
//	norm                   weight [E], bias [E]; fc_norm where it follows the patches' mean
//	head                   weight [classes, E], bias [classes]; [classes, 2E] with ClassAndMean
//	head_dist              the same for the distillation token, where it has a head; the heads' logits are averaged
//
// A block is X = X + proj(attention(norm1(X))); X = X + fc2(gelu(fc1(norm2(X)))) with the exact (erf) GELU: METHOD.md
// (1) and (2). Sources: Dosovitskiy et al. 2021 (ViT), Touvron et al. 2021 (DeiT). This package runs nothing: infer and
// train do.
//
// On disk a model is a directory as Hugging Face's transformers lays it out (config.json, model.safetensors,
// preprocessor_config.json); transformers itself can load it, as a dense ViT. See Load and Save.
package vit

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/adavit/adavit/halting"
)

// Config is the shape of a model and the constants of its arithmetic.
type Config struct {
	Embed         int     // E, numbers of a token
	Heads         int     // attention heads, of E/Heads numbers each
	Layers        int     // L, blocks
	Hidden        int     // F, width inside an MLP
	Height, Width int     // of an image, in pixels
	Patch         int     // P, side of a patch in pixels
	Channels      int     // C
	Classes       int     // outputs of the head
	Eps           float64 // added to the variance in every layer norm

	Distillation Distillation // whether there is a second special token, and a head for it
	NoClassToken bool         // the patches' mean is all that is read
	Registers    int          // R, learnt tokens behind the class token that nobody reads
	Pooling      Pooling      // what the head looks at
	Labels       []string     // names of the classes; nil if they have none
	Halting      halting.Config
}

// Distillation says what a model has of DeiT's distillation (Touvron et al. 2021, section 4).
type Distillation int

const (
	NoDistillation Distillation = iota // the class token alone
	// DistillToken: a second learnt token takes part; the class token's head decides (transformers'
	// DeiTForImageClassification).
	DistillToken
	// DistillHead: both tokens have a head; the logits are averaged (…WithTeacher, timm's deit_*_distilled).
	DistillHead
)

// Pooling says what the head of a model looks at. With o the tokens' mean fields, METHOD.md (9), (52):
type Pooling int

const (
	ClassToken   Pooling = iota // norm(o) of the class token; with DistillHead of both special tokens, each by its head
	Mean                        // norm of the mean of the patches' o: MAE, fc_norm in timm
	NormedMean                  // the mean of the patches' norm(o): timm's without fc_norm
	ClassAndMean                // norm(o) of the class token, and behind it the mean of the patches': DINOv2
	poolings
)

// NormsTokens reports whether the patches' mean is one of normalised tokens, rather than normalised itself.
func (p Pooling) NormsTokens() bool { return p == NormedMean || p == ClassAndMean }

// Bounds of what Validate lets through. They are above every published model and keep hostile files from asking for
// absurd memory or overflowing a product.
const (
	maxEmbed  = 1 << 14
	maxHidden = 1 << 16
	maxLayers = 512
	maxSide   = 1 << 13
	maxPatch  = 1 << 10
	maxChans  = 1 << 10
	maxClass  = 1 << 20
	maxTokens = 1 << 16
	maxRegs   = 1 << 10
	maxParams = 1<<31 - 1 // 8 GiB of float32
	maxEps    = 0.1
)

// Validate reports everything that makes c impossible or absurd, in one error.
func (c Config) Validate() error {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	for _, v := range [...]struct {
		name       string
		value, max int
	}{
		{"embedding width", c.Embed, maxEmbed}, {"number of heads", c.Heads, maxEmbed},
		{"number of layers", c.Layers, maxLayers},
		{"hidden width", c.Hidden, maxHidden}, {"image height", c.Height, maxSide}, {"image width", c.Width, maxSide},
		{"patch size", c.Patch, maxPatch}, {"number of channels", c.Channels, maxChans},
		{"number of classes", c.Classes, maxClass},
	} {
		if v.value < 1 || v.value > v.max {
			fault("%s is %d, want 1 to %d", v.name, v.value, v.max)
		}
	}
	if math.IsNaN(c.Eps) || c.Eps <= 0 || c.Eps > maxEps {
		fault("layer norm's eps is %v, want more than 0 and at most %v", c.Eps, maxEps)
	}
	if c.Distillation < NoDistillation || c.Distillation > DistillHead {
		fault("distillation is %d, want 0, 1 or 2", c.Distillation)
	}
	switch {
	case c.Registers < 0 || c.Registers > maxRegs:
		fault("number of register tokens is %d, want 0 to %d", c.Registers, maxRegs)
	case c.Pooling < ClassToken || c.Pooling >= poolings:
		fault("pooling is %d, want 0 to %d", c.Pooling, poolings-1)
	case c.NoClassToken && c.Pooling != Mean && c.Pooling != NormedMean:
		fault("there is no class token to be read")
	case c.Distillation != NoDistillation && (c.NoClassToken || c.Pooling != ClassToken || c.Registers > 0):
		fault("a distilled model's heads read its special tokens, not a mean of patches, and it has no registers")
	}
	if c.Labels != nil && len(c.Labels) != c.Classes {
		fault("%d labels for %d classes", len(c.Labels), c.Classes)
	}
	if err := c.Halting.ValidateFor(c.Layers); err != nil {
		fault("%v", err)
	}
	if len(faults) == 0 { // what follows divides and multiplies
		if c.Embed%c.Heads != 0 {
			fault("embedding width %d is not a multiple of %d heads", c.Embed, c.Heads)
		}
		if c.Height%c.Patch != 0 || c.Width%c.Patch != 0 {
			fault("image of %d×%d pixels is not a whole number of patches of %d×%d",
				c.Height, c.Width, c.Patch, c.Patch)
		} else if c.Tokens() > maxTokens {
			fault("%d tokens, at most %d are possible", c.Tokens(), maxTokens)
		} else if n := c.paramCount(); n > maxParams {
			fault("%d parameters, at most %d are possible", n, maxParams)
		}
	}
	if len(faults) > 0 {
		return errors.New(strings.Join(faults, "; "))
	}
	return nil
}

// GridH is the number of rows of patches.
func (c Config) GridH() int { return c.Height / c.Patch }

// GridW is the number of patches in a row.
func (c Config) GridW() int { return c.Width / c.Patch }

// Patches is K, the number of patches of an image.
func (c Config) Patches() int { return c.GridH() * c.GridW() }

// Special is S, the number of learnt tokens that go first: the class token, perhaps the distillation token, and
// registers.
func (c Config) Special() int { return c.Registers + c.positioned() }

// positioned is the number of special tokens that have a position.
func (c Config) positioned() int {
	switch {
	case c.NoClassToken:
		return 0
	case c.Distillation == NoDistillation:
		return 1
	}
	return 2
}

// Readouts says which tokens are special, and what of an image the heads look at.
func (c Config) Readouts() halting.Readouts {
	r := halting.Readouts{Special: c.Special(), Registers: c.Registers, Alone: 1}
	switch {
	case c.Distillation == DistillHead:
		r.Alone = 2
	case c.Pooling == Mean || c.Pooling == NormedMean:
		r.Alone = 0
	}
	if c.Pooling != ClassToken {
		r.Pooled = c.Patches()
	}
	return r
}

// Classifiers is the number of linear maps whose outputs are averaged: 2 with DistillHead, else 1.
func (c Config) Classifiers() int {
	if c.Distillation == DistillHead {
		return 2
	}
	return 1
}

// HeadInputs is what a classifier looks at: E numbers, or 2E.
func (c Config) HeadInputs() int { return c.Readouts().Inputs() / c.Classifiers() * c.Embed }

// Tokens is N = S+K: the special tokens, then the patches.
func (c Config) Tokens() int { return c.Special() + c.Patches() }

// HeadDim is the width of one attention head.
func (c Config) HeadDim() int { return c.Embed / c.Heads }

// PatchLen is C·P·P, the numbers in one patch.
func (c Config) PatchLen() int { return c.Channels * c.Patch * c.Patch }

// ImageLen is C·H·W, the numbers of an image as the model takes it.
func (c Config) ImageLen() int { return c.Channels * c.Height * c.Width }

// CutPatches writes the len(dst)/PatchLen patches of an image [C, H, W] from number first on, row by row over the
// picture, as rows [C, P, P], the order of a convolution's weight: a patch embedding is then one product with
// PatchWeight.
func (c Config) CutPatches(first int, dst, image []float32) {
	columns := c.GridW()
	for k := first; len(dst) > 0; k++ {
		corner := k/columns*c.Patch*c.Width + k%columns*c.Patch
		for channel := range c.Channels {
			for y := range c.Patch {
				from := (channel*c.Height+y)*c.Width + corner
				if row := image[from : from+c.Patch]; c.Patch == 16 { // most are; an array needs no call
					*(*[16]float32)(dst) = [16]float32(row)
				} else {
					copy(dst, row)
				}
				dst = dst[c.Patch:]
			}
		}
	}
}

// Label returns the name of class i, or LABEL_i (as transformers has it) if the classes have no names.
func (c Config) Label(i int) string {
	if i >= 0 && i < len(c.Labels) {
		return c.Labels[i]
	}
	return fmt.Sprintf("LABEL_%d", i)
}

// ParamCount is the number of parameters, all of which are in Params.Data.
func (c Config) ParamCount() int { return int(c.paramCount()) }

func (c Config) paramCount() int64 {
	e, f := int64(c.Embed), int64(c.Hidden)
	embed := int64(c.Special())*e + int64(c.Tokens()-c.Registers)*e + int64(c.PatchLen())*e + e
	block := 2*e + (3*e*e + 3*e) + (e*e + e) + 2*e + (f*e + f) + (e*f + e)
	return embed + int64(c.Layers)*block + 2*e + int64(c.Classifiers())*int64(c.Classes)*(int64(c.HeadInputs())+1)
}

// MACs is the nominal number of multiply-accumulates of one image, METHOD.md (18): patch embedding of all patches; for
// every block the linear layers on the n tokens that run in it, 4·E²·n + 2·E·F·n, and attention, 2·n²·E; and the heads.
// active[l] is n in block l+1 (with the special tokens); blocks beyond the end of active did not run. A nil slice means
// the dense model. Norms, GELU, softmax and additions are not counted, as is usual. Where halted tokens stay keys
// (halting.Needs.Frozen), each costs 2·E² a block for key and value, and attention is 2·n·N·E; what a halting scheme
// computes in order to decide is counted as halting.Needs.MACs has it.
func (c Config) MACs(active []int32) int64 {
	e, f := int64(c.Embed), int64(c.Hidden)
	readouts := c.Readouts()
	macs := int64(c.Patches())*int64(c.PatchLen())*e + int64(readouts.Inputs())*e*int64(c.Classes)
	var scheme halting.Scheme = halting.None{}
	if active != nil {
		if s, err := halting.New(c.Halting); err == nil { // a configuration that is not valid counts as a dense one
			scheme = s
		}
	}
	freezes := scheme.Needs(1, c.Layers).Frozen
	for l := range c.Layers {
		n := int64(c.Tokens())
		if active != nil {
			if l >= len(active) {
				break
			}
			n = int64(active[l])
		}
		keys := n
		if freezes && n > 0 {
			keys = int64(c.Tokens())
		}
		macs += n*(2*e*e+2*e*f) + keys*2*e*e + 2*n*keys*e
		if n > 0 {
			needs := scheme.Needs(l+1, c.Layers).For(readouts)
			macs += needs.MACs(int(n), c.Embed, c.HeadDim(), readouts.Inputs(), c.Classes)
		}
	}
	return macs
}
