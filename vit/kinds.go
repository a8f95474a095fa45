package vit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/adavit/adavit/weights"
)

// hfKind is how transformers, or this program where that has no class for it, calls a model and its tensors.
type hfKind struct {
	architecture string
	modelType    string
	prefix       string            // before the names of all tensors but the heads'
	heads        map[string]string // their names by timm's
	names        map[string]string // of tensors, by timm's; nil: timm's own
	scales       bool              // every block has LayerScale, which is folded into its linear maps
}

var oneHead = map[string]string{"head.": "classifier."}

// hfKinds are those of models without registers whose class token decides, by Config.Distillation.
var hfKinds = [...]hfKind{
	NoDistillation: {"ViTForImageClassification", "vit", "vit.", oneHead, hfNames, false},
	DistillToken:   {"DeiTForImageClassification", "deit", "deit.", oneHead, hfNames, false},
	DistillHead: {"DeiTForImageClassificationWithTeacher", "deit", "deit.",
		map[string]string{"head.": "cls_classifier.", "head_dist.": "distillation_classifier."}, hfNames, false},
}

// dinoNames are hfNames as DINOv2's models have them.
var dinoNames = map[string]string{
	"cls_token":         "embeddings.cls_token",
	"reg_token":         "embeddings.register_tokens",
	"pos_embed":         "embeddings.position_embeddings",
	"patch_embed.proj.": "embeddings.patch_embeddings.projection.",
	"norm.":             "layernorm.",
	// behind encoder.layer.N.
	"norm1.":     "norm1.",
	"attn.proj.": "attention.output.dense.",
	"norm2.":     "norm2.",
	"mlp.fc1.":   "mlp.fc1.",
	"mlp.fc2.":   "mlp.fc2.",
}

// The kinds of models with more than that: DINOv2's, and those that only this program has a config.json for, whose
// tensors have timm's names.
var (
	dinoKind = hfKind{"Dinov2ForImageClassification", "dinov2", "dinov2.",
		oneHead, dinoNames, true}
	dinoRegistersKind = hfKind{"Dinov2WithRegistersForImageClassification", "dinov2_with_registers",
		"dinov2_with_registers.", oneHead, dinoNames, true}
	ownKind = hfKind{"AdavitForImageClassification", "adavit", "", nil, nil, false}
)

// More of transformers' classes by their model_type: of models without a class token, and of ViTs trained otherwise.
const (
	ijepa = "ijepa"
	mae   = "vit_mae"
	msn   = "vit_msn"
)

// usualEps is what transformers' classes add to the variance in a layer norm where config.json does not say.
func usualEps(modelType string) float64 {
	switch modelType {
	case msn, dinoKind.modelType, dinoRegistersKind.modelType:
		return 1e-6
	}
	return 1e-12
}

// modelType is that of the class of transformers' whose tensors have such names, as far as eps depends on it.
func (s *state) modelType() string {
	switch {
	case s.msn:
		return msn
	case s.has("blocks.0.ls1.gamma"):
		return dinoKind.modelType
	}
	return hfKinds[NoDistillation].modelType
}

// poolingNames are the values of "pooling" in config.json.
var poolingNames = [...]string{ClassToken: "class", Mean: "mean", NormedMean: "normed_mean",
	ClassAndMean: "class_and_mean"}

// String is the pooling's value in config.json.
func (p Pooling) String() string { return poolingNames[p] }

// kindOf returns the kind that a model is saved as.
func kindOf(c Config) hfKind {
	switch {
	case c.Pooling == ClassToken && c.Registers == 0:
		return hfKinds[c.Distillation]
	case c.Pooling != ClassAndMean || c.Hidden%c.Embed != 0: // DINOv2's says how many times wider the MLP is
		return ownKind
	case c.Registers > 0:
		return dinoRegistersKind
	}
	return dinoKind
}

// tokens tells from model_type, architectures and what else config.json says what tokens and heads a model has.
func (j *configJSON) tokens(c *Config) (err error) {
	switch j.ModelType {
	case dinoKind.modelType, dinoRegistersKind.modelType:
		if c.Pooling = ClassAndMean; j.SwiGLU {
			return fmt.Errorf("use_swiglu_ffn is true, as DINOv2's giant has it, but MLPs with gates are not supported: " +
				"take DINOv2's small, base or large")
		}
		if j.ModelType == dinoRegistersKind.modelType {
			c.Registers = j.registers(4)
		}
	case ijepa:
		c.NoClassToken, c.Pooling = true, NormedMean
	case ownKind.modelType:
		c.Registers = j.registers(0)
		c.NoClassToken = j.ClassToken != nil && !*j.ClassToken
		at := slices.Index(poolingNames[:], j.Pooling)
		if at < 0 {
			return fmt.Errorf("pooling is %.40q, want one of %s", j.Pooling, strings.Join(poolingNames[:], ", "))
		}
		c.Pooling = Pooling(at)
	default:
		c.Distillation, err = distillation(j.ModelType, j.Architectures)
	}
	return err
}

// registers returns how many there are, or what is usual.
func (j *configJSON) registers(usual int) int {
	if j.Registers != nil {
		return *j.Registers
	}
	return usual
}

// setTokens is the inverse of tokens.
func (j *configJSON) setTokens(c Config) {
	kind := kindOf(c)
	j.Architectures, j.ModelType = []string{kind.architecture}, kind.modelType
	if c.Registers > 0 {
		j.Registers = &c.Registers
	}
	switch kind.modelType {
	case ownKind.modelType:
		there := !c.NoClassToken
		j.Pooling, j.ClassToken = poolingNames[c.Pooling], &there
	case dinoKind.modelType, dinoRegistersKind.modelType:
		j.Ratio, j.LayerScale, j.Hidden = float64(c.Hidden/c.Embed), json.RawMessage("1.0"), 0 // no whole number
	}
}

// extras lists the tensors of LayerScale, which do nothing, and the mask token that transformers looks for in models
// of this kind.
func (k hfKind) extras(c Config) (list []weights.Tensor) {
	if !k.scales {
		return nil
	}
	ones := slices.Repeat([]float32{1}, c.Embed)
	mask := make([]float32, c.Embed)
	list = append(list, weights.Float32Tensor(k.prefix+"embeddings.mask_token", []int{1, c.Embed}, mask))
	for l := range c.Layers {
		for _, part := range [...]string{"1", "2"} {
			name := fmt.Sprintf("%sencoder.layer.%d.layer_scale%s.lambda1", k.prefix, l, part)
			list = append(list, weights.Float32Tensor(name, []int{c.Embed}, ones))
		}
	}
	return list
}
