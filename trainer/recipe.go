package trainer

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/slicing"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// Recipe is all that decides a training run besides its data: with the same recipe, data and starting model, a run has
// the same bits whatever the number of threads.
type Recipe struct {
	Description string          `json:"description,omitempty"`
	Variant     string          `json:"variant,omitempty"`  // architecture, when the run starts from nothing
	Init        string          `json:"init,omitempty"`     // name of a model to start from; whoever opens it goes by it
	InitStd     float64         `json:"init_std,omitempty"` // deviation of new weights; 0 = 1/√fan_in
	Halting     *halting.Config `json:"halting,omitempty"`  // how tokens halt; absent = as in the starting model

	// Slice is what the starting model is cut to before it is trained, see package slicing.
	Slice *slicing.Size `json:"slice,omitempty"`
	// ImageSize is the side of the images in pixels, if not the starting model's: its position embeddings are
	// resampled.
	ImageSize int `json:"image_size,omitempty"`
	// CropPct is the share of a picture's side that the centre crop keeps where nothing is drawn at random, timm's word;
	// 1 shows all of a square picture. 0 is as in the starting model, or DeiT's 0.875 from nothing.
	CropPct float64 `json:"crop_pct,omitempty"`
	// Exif and MaxPixels say how picture files are decoded, see picture.Decoding; "" and 0 are as in the starting model,
	// or, from nothing, without EXIF.
	Exif      picture.Exif `json:"exif,omitempty"`
	MaxPixels int64        `json:"max_pixels,omitempty"`
	// Validation is the share of the training images that is held out to choose by, and, where the data has no test
	// images, to test on: half for each. 0 is data.OpenParts's choice. Whoever opens the data goes by it.
	Validation float64 `json:"validation,omitempty"`
	Damaged    float64 `json:"damaged"` // share of the images that may be unreadable: others take their places

	Epochs     int    `json:"epochs"`
	Batch      int    `json:"batch"`                // images of a step
	Accumulate int    `json:"accumulate,omitempty"` // equal parts of a batch; prior and mixing see one at a time; 0 = 1
	Repeats    int    `json:"repeats,omitempty"`    // versions of an image in an epoch, of as many fewer images; 0 = 1
	Seed       uint64 `json:"seed"`
	Limit      int    `json:"limit,omitempty"` // training images to use, and validation and test images; 0 = all

	LR             float64 `json:"lr"`
	MinLR          float64 `json:"min_lr"`
	WarmupLR       float64 `json:"warmup_lr"`
	WarmupEpochs   float64 `json:"warmup_epochs"`
	train.Settings         // TargetLayer is one block after the middle if 0; Scale is no part of it

	Augment data.Augment `json:"augment"`
	Mix     data.Mix     `json:"mix,omitzero"` // mixup and cutmix

	CheckpointSteps int    `json:"checkpoint_steps"`    // steps between checkpoints; 0 = one an epoch
	Checkpoints     int    `json:"checkpoints"`         // how many are kept, besides the best
	LogSteps        int    `json:"log_steps,omitempty"` // steps between lines of steps.jsonl; 0 = 50
	Keep            string `json:"keep"`                // which epoch's weights become the model: KeepLast or KeepBest
	Store           string `json:"store"`               // type of the stored weights: F32, F16 or BF16
	// Ladder has the model's ladder of budgets measured on the validation images when the run is over. A model whose
	// tokens do not halt has none.
	Ladder bool `json:"ladder,omitempty"`
}

// Which epoch's weights become the model. Mind that the first epochs of a model that learns to halt are the best while
// hardly anything halts yet.
const (
	KeepLast = "last"
	KeepBest = "best" // highest top-1 of the validation images
)

// DefaultRecipe holds what a recipe file may leave out.
func DefaultRecipe() Recipe {
	return Recipe{Epochs: 10, Batch: 64, LR: 1e-3, MinLR: 1e-5, WarmupLR: 1e-6, WarmupEpochs: 1, Damaged: 0.01,
		Settings:    train.Settings{WeightDecay: 0.05, Beta1: 0.9, Beta2: 0.999, ClipNorm: 1},
		Checkpoints: 2, Keep: KeepLast, Store: "F32"}
}

// In is r for a run in dir that computes in the given precision. "" leaves that to the recipe; where this says nothing,
// either, to the run that is resumed, and else it is the fastest of this machine.
func (r Recipe) In(precision, dir string, resume bool) Recipe {
	if r.Precision = cmp.Or(precision, r.Precision); r.Precision != "" {
		return r
	}
	if before, ok := begun(dir); ok && resume {
		r.Precision = before.Precision
	} else if train.Fastest() == train.BF16 {
		r.Precision = train.BF16
	}
	return r
}

// mostLayers bounds a target layer where the model is not known yet.
const mostLayers = 1e4

// Validate reports the first value that makes no sense.
func (r Recipe) Validate() error {
	for _, v := range []struct {
		name            string
		value, min, max float64
	}{
		{"epochs", float64(r.Epochs), 1, 1e5}, {"batch", float64(r.Batch), 1, 1 << 16},
		{"limit", float64(r.Limit), 0, 1 << 40}, {"lr", r.LR, 0, 10}, {"min_lr", r.MinLR, 0, 10},
		{"warmup_lr", r.WarmupLR, 0, 10}, {"warmup_epochs", r.WarmupEpochs, 0, 1e5}, {"weight_decay", r.WeightDecay, 0, 10},
		{"layer_decay", r.LayerDecay, 0, 1},
		{"beta1", r.Beta1, 0, 0.99999}, {"beta2", r.Beta2, 0, 0.9999999}, {"clip_norm", r.ClipNorm, 0, 1e9},
		{"ema", r.EMA, 0, 0.9999999}, {"init_std", r.InitStd, 0, 10},
		{"checkpoint_steps", float64(r.CheckpointSteps), 0, 1 << 40},
		{"checkpoints", float64(r.Checkpoints), 1, 1e6}, {"log_steps", float64(r.LogSteps), 0, 1 << 40},
		{"image_size", float64(r.ImageSize), 0, 1 << 13}, {"crop_pct", cmp.Or(r.CropPct, 1), 0.01, 1},
		{"validation", r.Validation, 0, 0.9}, {"damaged", r.Damaged, 0, 1},
		{"accumulate", float64(r.Accumulate), 0, 1 << 16}, {"repeats", float64(r.Repeats), 0, 1 << 16},
	} {
		if math.IsNaN(v.value) || v.value < v.min || v.value > v.max {
			return fmt.Errorf("%s is %v, want %v to %v", v.name, v.value, v.min, v.max)
		}
	}
	if err := (picture.Decoding{Exif: r.Exif, MaxPixels: r.MaxPixels}).Check(); err != nil {
		return err
	}
	if err := train.CheckPrecision(r.Precision); err != nil {
		return err
	}
	if r.Variant != "" {
		if _, err := vit.Variant(r.Variant); err != nil {
			return err
		}
	}
	if r.Distill != nil && r.Distill.Model == "" {
		return errors.New("distill: no model is named")
	}
	if err := r.Loss.Validate(mostLayers); err != nil {
		return err
	}
	if r.Store != "F32" && r.Store != "F16" && r.Store != "BF16" {
		return fmt.Errorf("store is %q, want F32, F16 or BF16", r.Store)
	}
	if r.Keep != KeepLast && r.Keep != KeepBest {
		return fmt.Errorf("keep is %q, want %q or %q", r.Keep, KeepLast, KeepBest)
	}
	if r.Accumulate > 0 && r.Batch%r.Accumulate != 0 {
		return fmt.Errorf("a batch of %d images cannot be cut into %d equal parts (accumulate)", r.Batch, r.Accumulate)
	}
	if r.Halting != nil {
		if err := r.Halting.Validate(); err != nil {
			return err
		}
	}
	if err := r.Augment.Validate(); err != nil {
		return err
	}
	return r.Mix.Validate()
}

// resolve replaces what a recipe may leave to the model by what it then is.
func (r Recipe) resolve(c vit.Config) Recipe {
	if r.TargetLayer == 0 && c.Halting.Adaptive() {
		r.TargetLayer = float64(c.Layers/2 + 1)
	}
	return r
}

// initialise draws new parameters of the recipe's variant for the given classes.
func (r Recipe) initialise(classes []string) (*vit.Params, error) {
	if r.Variant == "" {
		return nil, ErrNoStart
	}
	c, err := vit.Variant(r.Variant)
	if err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	c.Classes, c.Labels = len(classes), nil
	if r.ImageSize > 0 {
		c.Height, c.Width = r.ImageSize, r.ImageSize
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return vit.Initialize(c, r.Seed, r.InitStd), nil
}

// Preprocess is p, the preprocessor of a model of configuration c, with the recipe's decoding and crop.
func (r Recipe) Preprocess(p picture.Preprocessor, c vit.Config) picture.Preprocessor {
	p = p.DecodedBy(picture.Decoding{Exif: r.Exif, MaxPixels: r.MaxPixels})
	if r.CropPct == 0 {
		return p
	}
	return p.Keeping(r.CropPct, c.Height, c.Width)
}

// LearningRate is the rate of a step (from 0), METHOD.md (43): linear warm-up from WarmupLR, then a cosine from LR down
// to MinLR.
func (r Recipe) LearningRate(step, stepsPerEpoch int) float64 {
	total, warm := float64(r.Epochs*stepsPerEpoch), r.WarmupEpochs*float64(stepsPerEpoch)
	if t := float64(step); t < warm {
		return r.WarmupLR + (r.LR-r.WarmupLR)*t/warm
	}
	progress := (float64(step) - warm) / max(1, total-warm)
	return r.MinLR + (r.LR-r.MinLR)*(1+math.Cos(math.Pi*min(1, progress)))/2
}
