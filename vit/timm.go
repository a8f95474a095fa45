package vit

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/strictjson"
	"github.com/adavit/adavit/picture"
)

// timmJSON is config.json as timm's models have it on the hub: the name of an architecture and how its pictures are
// made. The sizes are in the weights' shapes.
type timmJSON struct {
	Architecture string `json:"architecture"`
	ModelType    string `json:"model_type"` // where transformers has saved it
	Classes      int    `json:"num_classes"`
	Pool         string `json:"global_pool"`
	Args         struct {
		Heads int    `json:"num_heads"`
		Act   string `json:"act_layer"`
		Pool  string `json:"global_pool"`

		// What shapes do not show, and this program does not compute.
		Norm    any  `json:"norm_layer"`
		Block   any  `json:"block_fn"`
		MLP     any  `json:"mlp_layer"`
		PoolAll bool `json:"pool_include_prefix"`
	} `json:"model_args"`
	Labels     []string        `json:"label_names"`
	Pretrained timmPretrained  `json:"pretrained_cfg"`
	Halting    *halting.Config `json:"halting"` // ours, not timm's
}

type timmPretrained struct {
	InputSize     []int     `json:"input_size"` // C, H, W
	Interpolation string    `json:"interpolation"`
	CropPct       float64   `json:"crop_pct"`
	CropMode      string    `json:"crop_mode"`
	Mean          []float64 `json:"mean"`
	Std           []float64 `json:"std"`
	Classes       int       `json:"num_classes"`
	Labels        []string  `json:"label_names"`
}

// timmWrapper is the model_type of a model of timm's that transformers loaded and saved: its config.json is timm's with
// some keys of transformers' own.
const timmWrapper = "timm_wrapper"

// isTimm tells timm's config.json from transformers'.
func isTimm(text []byte) bool {
	var keys map[string]json.RawMessage
	if strictjson.Unmarshal(text, &keys) != nil {
		return false
	}
	modelType, typed := keys["model_type"]
	return keys["architecture"] != nil && (!typed || string(modelType) == `"`+timmWrapper+`"`)
}

// loadTimm reads a directory as timm's models have it on the hub.
func (s source) loadTimm(text []byte) (*Model, error) {
	fail := func(err error) (*Model, error) { return nil, fmt.Errorf("%s: %w", s.shown(ConfigFile), err) }
	var j timmJSON
	err := strictjson.UnmarshalKnown(text, &j)
	if err == nil {
		err = j.check()
	}
	if err != nil {
		return fail(err)
	}
	o := ImportOptions{Heads: j.heads(), Halting: halting.Dense(), Mean: j.pool() == "avg"}
	if j.Halting != nil {
		o.Halting = *j.Halting
	}
	file, name, err := s.tensors(maxParams)
	if err != nil {
		return nil, err
	}
	size := j.Pretrained.InputSize
	if len(size) == 3 {
		o.Height, o.Width = size[1], size[2]
	}
	if s.NewHead {
		o.Classes = 1
	}
	m, _, err := importModel(file, o)
	if errors.Is(err, ErrHeads) {
		return fail(fmt.Errorf("%w: say it there, as num_heads in model_args", err))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.shown(name), err)
	}
	if m.Params.stored != nil {
		m.Params.stored.file = s.shown(name)
	}
	c := &m.Params.Config
	labels := j.Labels
	if len(labels) == 0 {
		labels = j.Pretrained.Labels
	}
	switch {
	case len(size) == 3 && size[0] != c.Channels:
		return fail(fmt.Errorf("input_size is %v, but the weights are for %d channels", size, c.Channels))
	case s.NewHead: // whose number of classes, and their names, are to come
	case j.Classes != 0 && j.Classes != c.Classes:
		return fail(fmt.Errorf("num_classes is %d, but the weights' head has %d", j.Classes, c.Classes))
	case len(labels) == c.Classes:
		c.Labels = labels
	case len(labels) > 0:
		return fail(fmt.Errorf("%d label_names for %d classes", len(labels), c.Classes))
	}
	if m.Preprocessor, err = j.Pretrained.preprocessor(*c); err != nil {
		return fail(fmt.Errorf("pretrained_cfg: %w", err))
	}
	m.Preprocessor.Exif = j.ModelType == timmWrapper // as transformers opens pictures, and timm does not
	return m, s.readPreprocessor(m)                  // more exact than pretrained_cfg, if it is there
}

// check refuses what the shapes of the weights would not give away.
func (j timmJSON) check() error {
	begins := func(with string) bool { return strings.HasPrefix(j.Architecture, with) }
	switch {
	case !slices.ContainsFunc([]string{"vit_", "deit_", "deit3_", "flexivit_", "eva_large_", "test_vit"}, begins):
		return fmt.Errorf(
			"architecture is %.80q, but only plain ViT and DeiT models are supported (vit_…, deit_…, deit3_…)",
			j.Architecture)
	case strings.Contains(j.Architecture, "_rope_"): // whose weights may look like DeiT III's
		return fmt.Errorf("architecture %.80q has rotary positions, which are not supported: take a plain ViT, a DeiT, or "+
			"DINOv2 (small to large)", j.Architecture)
	case begins("vit_base_patch16_rpn_") || j.Args.Block != nil || j.Args.Norm != nil || j.Args.MLP != nil ||
		j.Args.PoolAll:
		return fmt.Errorf("architecture %.80q has other blocks, norms, MLPs or pooling than a plain ViT (block_fn, "+
			"norm_layer, mlp_layer, pool_include_prefix of its model_args), which are not supported", j.Architecture)
	case strings.Contains(j.Architecture, "quickgelu") || slices.ContainsFunc(tanhGELU[:], begins) ||
		j.Args.Act != "" && j.Args.Act != "gelu":
		return fmt.Errorf("architecture %.80q has another activation than the exact GELU, which alone is supported",
			j.Architecture)
	case j.pool() != "" && j.pool() != "token" && j.pool() != "avg":
		return fmt.Errorf("global_pool is %.40q, but only %q (the class token decides) and %q (the patches' mean) are "+
			"supported", j.pool(), "token", "avg")
	}
	return nil
}

// tanhGELU are the beginnings of names of architectures whose activation is GELU's approximation by tanh.
var tanhGELU = [...]string{"vit_base_patch32_siglip_", "vit_giantopt_", "vit_so400m_patch16_siglip_",
	"vit_large_patch16_siglip_512", "vit_large_patch16_siglip_gap_512"}

// heads returns what model_args says, or what the architecture has if its width does not tell.
func (j timmJSON) heads() int {
	if j.Args.Heads == 0 && strings.HasPrefix(j.Architecture, "vit_base_patch16_gap_") {
		return 16
	}
	return j.Args.Heads
}

// pool is what the head looks at.
func (j timmJSON) pool() string { return cmp.Or(j.Args.Pool, j.Pool) }

// preprocessor is timm's evaluation transform: the picture is resized to cover ⌊size / crop_pct⌋ and cropped, or with
// crop_mode "squash" both sides resized.
func (t timmPretrained) preprocessor(c Config) (picture.Preprocessor, error) {
	p := picture.DefaultPreprocessor(c.Height, c.Width, c.Channels)
	pct := cmp.Or(t.CropPct, 0.875) // timm's own default
	if !(pct >= 0.01 && pct <= 1) {
		return p, fmt.Errorf("crop_pct is %v, want 0.01 to 1", t.CropPct)
	}
	p = p.Keeping(pct, c.Height, c.Width)
	switch t.CropMode {
	case "", "center":
	case "squash":
		larger := func(side int) int { return int(float64(side) / pct) }
		p.Size, p.CropPct = picture.Size{Height: larger(c.Height), Width: larger(c.Width)}, 0
	default:
		return p, fmt.Errorf("crop_mode is %.40q, but only %q and %q are supported", t.CropMode, "center", "squash")
	}
	filters := map[string]int{"": picture.Bicubic, "bicubic": picture.Bicubic, "bilinear": picture.Bilinear}
	var ok bool
	if p.Resample, ok = filters[t.Interpolation]; !ok {
		return p, fmt.Errorf("interpolation is %.40q, but only %q and %q are supported",
			t.Interpolation, "bicubic", "bilinear")
	}
	if len(t.Mean) > 0 {
		p.Mean = t.Mean
	}
	if len(t.Std) > 0 {
		p.Std = t.Std
	}
	return p, p.Check(c.Channels, c.Height, c.Width)
}
