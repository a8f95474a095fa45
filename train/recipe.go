package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
)

// Recipe is all that decides a training run besides its data: with the same recipe, data and starting model, a run has the same bits
// whatever the number of threads.
type Recipe struct {
	Description string          `json:"description,omitempty"`
	Variant     string          `json:"variant,omitempty"`  // architecture, when the run starts from nothing
	Init        string          `json:"init,omitempty"`     // model that the run starts from, unless --init names another
	InitStd     float64         `json:"init_std,omitempty"` // deviation of new weights; 0 = 1/√fan_in
	Halting     *halting.Config `json:"halting,omitempty"`  // how tokens halt in the trained model; absent = as in the starting model

	ImageSize  int      `json:"image_size,omitempty"` // side of the images in pixels, if not the starting model's: its position embeddings are resampled
	LearnGate  bool     `json:"learn_gate,omitempty"` // the gate's scale and center are learnt too
	Freeze     []string `json:"freeze,omitempty"`     // tensors that keep their values: timm's names, or patterns as path.Match has them ("blocks.[0-5].*")
	Distill    *Distill `json:"distill,omitempty"`    // a teacher to learn from
	Validation float64  `json:"validation,omitempty"` // share of the training images that is held out to test on, where the data has no test images
	Damaged    float64  `json:"damaged"`              // share of the images that may be unreadable: others take their places

	Epochs     int    `json:"epochs"`
	Batch      int    `json:"batch"`                // images of a step
	Accumulate int    `json:"accumulate,omitempty"` // equal parts that a batch is cut into, to save memory; the prior and mixing see a part at a time. 0 = 1
	Repeats    int    `json:"repeats,omitempty"`    // versions of an image in an epoch, of as many fewer images (repeated augmentation). 0 = 1
	Seed       uint64 `json:"seed"`
	Limit      int    `json:"limit,omitempty"` // training images to use; 0 = all

	LR             float64 `json:"lr"`
	MinLR          float64 `json:"min_lr"`
	WarmupLR       float64 `json:"warmup_lr"`
	WarmupEpochs   float64 `json:"warmup_epochs"`
	WeightDecay    float64 `json:"weight_decay"` // not on biases, norms, class and position tokens
	Beta1          float64 `json:"beta1"`
	Beta2          float64 `json:"beta2"`
	ClipNorm       float64 `json:"clip_norm"` // largest norm of the whole gradient; 0 = no limit
	EMA            float64 `json:"ema"`       // decay of the averaged weights, which are what is kept; 0 = no averaging
	LabelSmoothing float64 `json:"label_smoothing"`
	DropPath       float64 `json:"drop_path"`

	AlphaPonder    float64 `json:"alpha_ponder,omitempty"`
	AlphaPrior     float64 `json:"alpha_prior,omitempty"`
	TargetLayer    float64 `json:"target_layer,omitempty"`    // 0 = one block after the middle
	PriorShape     string  `json:"prior_shape,omitempty"`     // halting's names of shapes; "" = normal
	PriorDeviation float64 `json:"prior_deviation,omitempty"` // in blocks; 0 = 1
	ReversePrior   bool    `json:"reverse_prior,omitempty"`
	PonderBeta     float64 `json:"ponder_beta,omitempty"`   // PonderNet's weight of the divergence from its geometric prior
	PonderLambda   float64 `json:"ponder_lambda,omitempty"` // and that prior's λ

	Augment data.Augment `json:"augment"`
	Mix     data.Mix     `json:"mix,omitzero"` // mixup and cutmix

	CheckpointSteps int    `json:"checkpoint_steps"`    // steps between checkpoints; 0 = one an epoch
	Checkpoints     int    `json:"checkpoints"`         // how many are kept, besides the best
	LogSteps        int    `json:"log_steps,omitempty"` // steps between lines of steps.jsonl; 0 = 50
	Keep            string `json:"keep"`                // which epoch's weights become the model: KeepLast or KeepBest
	Store           string `json:"store"`               // type of the stored weights: F32, F16 or BF16
}

// Distill says how a run learns from a teacher beside the labels (Loss says more of each).
type Distill struct {
	Model       string  `json:"model"`       // the teacher, as --model would name it
	Mode        string  `json:"mode"`        // DistillSoft or DistillHard
	Alpha       float64 `json:"alpha"`       // the teacher's share of the loss
	Temperature float64 `json:"temperature"` // of DistillSoft; 0 = 1
}

// Which epoch's weights become the model. The best by test images is a choice made on them, so that their top-1 flatters it a little; and the first
// epochs of a model that learns to halt test best while hardly anything halts yet.
const (
	KeepLast = "last"
	KeepBest = "best" // highest test top-1
)

// DefaultRecipe holds what a recipe file may leave out.
func DefaultRecipe() Recipe {
	return Recipe{Epochs: 10, Batch: 64, LR: 1e-3, MinLR: 1e-5, WarmupLR: 1e-6, WarmupEpochs: 1, WeightDecay: 0.05, Beta1: 0.9, Beta2: 0.999,
		ClipNorm: 1, Damaged: 0.01, Checkpoints: 2, Keep: KeepLast, Store: "F32"}
}

// ParseRecipe reads a recipe file and applies overrides of the form key=value; a dot reaches into an object (augment.shift=2).
// Values are JSON, or else strings. Unknown keys are errors that name the known ones.
func ParseRecipe(name string, file []byte, overrides []string) (Recipe, error) {
	tree := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(file))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty")
		}
		return Recipe{}, fmt.Errorf("recipe %s: %w", name, err)
	}
	if tree == nil {
		return Recipe{}, fmt.Errorf("recipe %s: null in place of an object", name)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Recipe{}, fmt.Errorf("recipe %s: data after the object", name)
	}
	if err := checkKeys(json.NewDecoder(bytes.NewReader(file))); err != nil {
		return Recipe{}, fmt.Errorf("recipe %s: %w", name, err)
	}
	for _, o := range overrides {
		if err := override(tree, o); err != nil {
			return Recipe{}, fmt.Errorf("recipe %s: %w", name, err)
		}
	}
	merged, err := json.Marshal(tree)
	if err != nil {
		return Recipe{}, fmt.Errorf("recipe %s: %w", name, err)
	}
	if err := checkKeys(json.NewDecoder(bytes.NewReader(merged))); err != nil {
		return Recipe{}, fmt.Errorf("recipe %s: %w", name, err)
	}
	r := DefaultRecipe()
	d = json.NewDecoder(bytes.NewReader(merged))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Recipe{}, fmt.Errorf("recipe %s: %w", name, err)
	}
	if err := r.Validate(); err != nil {
		return Recipe{}, fmt.Errorf("recipe %s: %w", name, err)
	}
	return r, nil
}

// checkKeys reads a JSON value and refuses what encoding/json lets pass in its objects: a key that appears twice, of which the last would win,
// and one that differs from ours in the case of its letters. All of ours are small.
func checkKeys(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	object := token == json.Delim('{')
	if !object && token != json.Delim('[') {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if object {
			token, err := d.Token()
			if err != nil {
				return err
			}
			key := token.(string) // what else a key may not be, or Token would have said so
			if strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
				return fmt.Errorf("unknown field %q", key)
			}
			if seen[key] {
				return fmt.Errorf("field %q appears twice", key)
			}
			seen[key] = true
		}
		if err := checkKeys(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

func override(tree map[string]any, assignment string) error {
	key, text, ok := strings.Cut(assignment, "=")
	if !ok || key == "" {
		return fmt.Errorf("override %q is not KEY=VALUE", assignment)
	}
	path := strings.Split(key, ".")
	for _, part := range path[:len(path)-1] {
		child, ok := tree[part].(map[string]any)
		if !ok {
			if tree[part] != nil {
				return fmt.Errorf("override %q: %q is not an object", assignment, part)
			}
			child = map[string]any{}
			tree[part] = child
		}
		tree = child
	}
	var value any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&value) != nil || d.More() {
		value = text
	}
	tree[path[len(path)-1]] = value
	return nil
}

// Validate reports the first value that makes no sense.
func (r Recipe) Validate() error {
	for _, v := range []struct {
		name            string
		value, min, max float64
	}{
		{"epochs", float64(r.Epochs), 1, 1e5}, {"batch", float64(r.Batch), 1, 1 << 16}, {"limit", float64(r.Limit), 0, 1 << 40},
		{"lr", r.LR, 0, 10}, {"min_lr", r.MinLR, 0, 10}, {"warmup_lr", r.WarmupLR, 0, 10}, {"warmup_epochs", r.WarmupEpochs, 0, 1e5},
		{"weight_decay", r.WeightDecay, 0, 10}, {"beta1", r.Beta1, 0, 0.99999}, {"beta2", r.Beta2, 0, 0.9999999}, {"clip_norm", r.ClipNorm, 0, 1e9},
		{"ema", r.EMA, 0, 0.9999999}, {"label_smoothing", r.LabelSmoothing, 0, 0.99}, {"drop_path", r.DropPath, 0, 0.99}, {"init_std", r.InitStd, 0, 10},
		{"alpha_ponder", r.AlphaPonder, 0, 1e6}, {"alpha_prior", r.AlphaPrior, 0, 1e6}, {"target_layer", r.TargetLayer, -10, 1e4},
		{"checkpoint_steps", float64(r.CheckpointSteps), 0, 1 << 40}, {"checkpoints", float64(r.Checkpoints), 1, 1e6},
		{"log_steps", float64(r.LogSteps), 0, 1 << 40},
		{"image_size", float64(r.ImageSize), 0, 1 << 13}, {"validation", r.Validation, 0, 0.9}, {"damaged", r.Damaged, 0, 1},
		{"accumulate", float64(r.Accumulate), 0, 1 << 16}, {"repeats", float64(r.Repeats), 0, 1 << 16},
		{"prior_deviation", r.PriorDeviation, 0, 1e4}, {"ponder_beta", r.PonderBeta, 0, 1e6}, {"ponder_lambda", r.PonderLambda, 0, 1},
	} {
		if math.IsNaN(v.value) || v.value < v.min || v.value > v.max {
			return fmt.Errorf("%s is %v, want %v to %v", v.name, v.value, v.min, v.max)
		}
	}
	if r.Store != "F32" && r.Store != "F16" && r.Store != "BF16" {
		return fmt.Errorf("store is %q, want F32, F16 or BF16", r.Store)
	}
	if r.Keep != KeepLast && r.Keep != KeepBest {
		return fmt.Errorf("keep is %q, want %q or %q", r.Keep, KeepLast, KeepBest)
	}
	if d := r.Distill; d != nil {
		switch {
		case d.Model == "":
			return errors.New("distill: no model is named")
		case d.Mode != DistillSoft && d.Mode != DistillHard:
			return fmt.Errorf("distill: mode is %q, want %q or %q", d.Mode, DistillSoft, DistillHard)
		case !(d.Alpha > 0 && d.Alpha <= 1):
			return fmt.Errorf("distill: alpha is %v, want more than 0 and at most 1", d.Alpha)
		case !(d.Temperature >= 0 && d.Temperature <= 1e3):
			return fmt.Errorf("distill: temperature is %v, want 0 to 1000", d.Temperature)
		}
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

// Start returns the parameters that a run begins with: a copy of init, or new ones of the recipe's variant for the given classes.
func (r Recipe) Start(init *vit.Params, classes []string) (*vit.Params, error) {
	var p *vit.Params
	if init != nil {
		p = init.Clone()
	} else {
		if r.Variant == "" {
			return nil, errors.New("the recipe names no variant to start from, and no model was given to start with (--init)")
		}
		c, err := vit.Variant(r.Variant)
		if err != nil {
			return nil, err
		}
		c.Classes, c.Labels = len(classes), nil
		if r.ImageSize > 0 {
			c.Height, c.Width = r.ImageSize, r.ImageSize
		}
		if err := c.Validate(); err != nil {
			return nil, err
		}
		p = vit.Initialize(c, r.Seed, r.InitStd)
	}
	if size := r.ImageSize; size > 0 && (p.Config.Height != size || p.Config.Width != size) {
		return nil, fmt.Errorf("the starting model takes images of %d×%d pixels and image_size is %d: resize it first", p.Config.Height, p.Config.Width, size)
	}
	if r.Halting != nil {
		p.Config.Halting = *r.Halting
	}
	return p, p.Config.Validate()
}

// logSteps is the number of steps between two lines of steps.jsonl.
func (r Recipe) logSteps() int {
	if r.LogSteps == 0 {
		return 50
	}
	return r.LogSteps
}

// resolve replaces what a recipe may leave to the model by what it then is.
func (r Recipe) resolve(c vit.Config) Recipe {
	if r.TargetLayer == 0 && c.Halting.Adaptive() {
		r.TargetLayer = float64(c.Layers/2 + 1)
	}
	return r
}

// mixes reports whether any batch may be mixed.
func (r Recipe) mixes() bool { return r.Mix.Enabled(0) }

// loss is what a step minimises.
func (r Recipe) loss() Loss {
	l := Loss{LabelSmoothing: r.LabelSmoothing, AlphaPonder: r.AlphaPonder, AlphaPrior: r.AlphaPrior, TargetLayer: r.TargetLayer,
		PriorShape: r.PriorShape, PriorDeviation: r.PriorDeviation, ReversePrior: r.ReversePrior, PonderBeta: r.PonderBeta, PonderLambda: r.PonderLambda,
		DropPath: r.DropPath}
	if d := r.Distill; d != nil {
		l.Distill, l.DistillAlpha, l.DistillTemperature = d.Mode, d.Alpha, d.Temperature
	}
	return l
}

// LearningRate is the rate of a step (from 0): linear warm-up from WarmupLR, then a cosine from LR down to MinLR.
func (r Recipe) LearningRate(step, stepsPerEpoch int) float64 {
	total, warm := float64(r.Epochs*stepsPerEpoch), r.WarmupEpochs*float64(stepsPerEpoch)
	if t := float64(step); t < warm {
		return r.WarmupLR + (r.LR-r.WarmupLR)*t/warm
	}
	progress := (float64(step) - warm) / max(1, total-warm)
	return r.MinLR + (r.LR-r.MinLR)*(1+math.Cos(math.Pi*min(1, progress)))/2
}
