package trainer

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/recipes"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// TestRecipeRefuses: a value that makes no sense is an error that names it.
func TestRecipeRefuses(t *testing.T) {
	for set, want := range map[string]string{
		"keep=first":                      `keep is "first", want "last" or "best"`,
		"log_steps=-1":                    "log_steps is -1",
		"validation=0.95":                 "validation is 0.95, want 0 to 0.9",
		"damaged=2":                       "damaged is 2, want 0 to 1",
		"accumulate=-2":                   "accumulate",
		"accumulate=7":                    "a batch of 64 images cannot be cut into 7 equal parts",
		"repeats=1e9":                     "repeats",
		"image_size=100000":               "image_size",
		"ponder_lambda=1.5":               "ponder_lambda",
		"ponder_beta=-1":                  "ponder_beta",
		"prior_deviation=-1":              "prior_deviation",
		"distill.model=x":                 "distill: alpha is 0",
		`distill={"model":"x","alpha":1}`: `distill: mode is "", want "soft" or "hard"`,
		`distill={"mode":"soft"}`:         "distill: no model is named",
		`distill={"model":"x","mode":"soft","alpha":0}`:                    "distill: alpha is 0",
		`distill={"model":"x","mode":"hard","alpha":0.5,"temperature":-1}`: "distill: temperature is -1",
		`distill={"model":"x","teacher":"y"}`:                              `unknown key "teacher"`,
		"mix.mixup=-1":                                                     "mix: mixup -1",
		"freeze=head.*":                                                    "a string where an array was expected",
		"learn_gate=soon":                                                  "a string where true or false was expected",
	} {
		if _, err := ParseRecipe("test", []byte(`{"variant": "fashion"}`), []string{set}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", set, err, want)
		}
	}
}

// TestRecipeRoundTrip: what a card or a checkpoint holds of a recipe is all of it.
func TestRecipeRoundTrip(t *testing.T) {
	r, err := ParseRecipe("test", []byte(`{"init": "fashion-dense",
		"halting": {"policy": "topk", "keep": 0.5, "layers": [2, 4]}, "freeze": ["blocks.[0-5].*"], "image_size": 56,
		"distill": {"model": "d", "mode": "soft", "alpha": 0.5, "temperature": 3}, "mix": {"cutmix": 1}, "repeats": 3,
		"accumulate": 2, "learn_gate": true, "keep": "best",
		"prior_shape": "laplace", "prior_deviation": 2, "ponder_beta": 0.01, "ponder_lambda": 0.2, "validation": 0.1,
		"damaged": 0, "log_steps": 5}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseRecipe("again", text, nil)
	if err != nil || !reflect.DeepEqual(r, again) {
		t.Errorf("%+v\ncomes back as\n%+v, %v", r, again, err)
	}
	if s := r.changes(again); s != "" {
		t.Errorf("changes %q of nothing", s)
	}
	again.LR, again.Halting, again.Description = 1, nil, "another"
	if s := r.changes(again); s != `halting null → {"policy":"topk","keep":0.5,"layers":[2,4]}, lr 1 → 0.001` {
		t.Errorf("changes %s", s)
	}
	l := r.Loss
	if l.PriorShape != "laplace" || l.PriorDeviation != 2 || l.PonderBeta != 0.01 || l.PonderLambda != 0.2 ||
		*l.Distill != (train.Distill{Model: "d", Mode: train.DistillSoft, Alpha: 0.5, Temperature: 3}) {
		t.Errorf("the loss is %+v", l)
	}
}

// TestResolve: the prior's centre is one block after the middle unless the recipe has one.
func TestResolve(t *testing.T) {
	c := vit.Config{Layers: 12}
	if r := (Recipe{}).resolve(c); r.TargetLayer != 0 {
		t.Errorf("dense: target layer %v", r.TargetLayer)
	}
	c.Halting.Scheme = "token"
	if r := (Recipe{}).resolve(c); r.TargetLayer != 7 {
		t.Errorf("target layer %v, want 7", r.TargetLayer)
	}
	if r := (Recipe{Settings: train.Settings{Loss: train.Loss{TargetLayer: 4}}}).resolve(c); r.TargetLayer != 4 {
		t.Errorf("target layer %v, want 4", r.TargetLayer)
	}
}

// FuzzParseRecipe: a recipe that is taken is valid and can be written and read again.
func FuzzParseRecipe(f *testing.F) {
	f.Add([]byte(`{"variant":"fashion","halting":{"policy":"token"},"augment":{"shift":2}}`), "epochs=3")
	f.Add([]byte(`{"mix":{"mixup":1},"distill":{"model":"m","mode":"hard","alpha":1}}`), "mix.prob=0.5")
	f.Add([]byte(`{"lr":1e-400,"freeze":["a"]}`), "halting.merge=3")
	f.Fuzz(func(t *testing.T, file []byte, set string) {
		r, err := ParseRecipe("fuzz", file, []string{set})
		if err != nil {
			return
		}
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseRecipe("again", text, nil); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if rate := r.LearningRate(1, 10); math.IsNaN(rate) || rate < 0 {
			t.Errorf("learning rate %v of %s", rate, text)
		}
	})
}

func TestLearningRate(t *testing.T) {
	r := DefaultRecipe()
	r.Epochs, r.WarmupEpochs, r.LR, r.WarmupLR, r.MinLR = 10, 2, 1, 0.1, 0.01
	for step, want := range map[int]float64{0: 0.1, 10: 0.55, 20: 1, 60: 0.505, 100: 0.01} {
		if got := r.LearningRate(step, 10); math.Abs(got-want) > 1e-12 {
			t.Errorf("step %d: rate %v, want %v", step, got, want)
		}
	}
}

func TestParseRecipe(t *testing.T) {
	r, err := ParseRecipe("test", []byte(`{"variant":"fashion","epochs":3,"augment":{"shift":1}}`),
		[]string{"epochs=7", "augment.shift=2", "store=F16", "halting.policy=token"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Epochs != 7 || r.Augment.Shift != 2 || r.Store != "F16" || r.Halting == nil ||
		r.Halting.Number("gate_scale") != 10 || r.Batch != DefaultRecipe().Batch {
		t.Errorf("got %+v", r)
	}
	for _, bad := range [][2]string{{`{"epoch":3}`, ""}, {`{`, ""}, {`{} {}`, ""}, {`[]`, ""}, {`{}`, "epochs"},
		{`{}`, "epochs=0"}, {`{}`, "crop_pct=1.1"}, {`{}`, "crop_pct=-1"}, {`{}`, "epochs=1e99"}, {`{}`, "lr=-1"},
		{`{}`, "lr=nan"}, {`{}`, "batch=many"}, {`{}`, "store=int3"}, {`{}`, "halting.policy=psychic"},
		{`{"epochs":3}`, "epochs.x=1"}, {`{}`, "=1"},
		{``, ""}, {`null`, ""}, {`null`, "epochs=3"}, {`{"epochs":3,"epochs":4}`, ""},
		{`{"augment":{"shift":1,"shift":1}}`, ""}, {`{"Epochs":3}`, ""}, {`{"lr":0.1}`, "LR=0.2"},
		{`{"halting":{"Policy":"token"}}`, ""}} {
		var set []string
		if bad[1] != "" {
			set = []string{bad[1]}
		}
		if _, err := ParseRecipe("bad", []byte(bad[0]), set); err == nil {
			t.Errorf("%s with %q was accepted", bad[0], bad[1])
		} else if !bytes.Contains([]byte(err.Error()), []byte("bad")) {
			t.Errorf("error %v does not name the recipe", err)
		}
	}
}

// TestCropPct: a run prepares pictures as its recipe says, and else as its starting model does.
func TestCropPct(t *testing.T) {
	for _, c := range []struct {
		variant  string // from nothing; "" for a starting model that keeps half
		pct      float64
		side     int // of a square picture after the resize
		centring bool
	}{{"", 0, 32, true}, {"", 1, 16, true}, {"fashion-small", 0, 28, false}, {"fashion-small", 0.5, 56, true}} {
		o := stripesRun(t, "")
		o.Init.Preprocessor = o.Init.Preprocessor.Keeping(0.5, 16, 16)
		if o.Recipe.CropPct = c.pct; c.variant != "" {
			o.Init, o.Recipe.Variant = nil, c.variant
		}
		params, p, err := o.start()
		if err != nil {
			t.Fatal(err)
		}
		h, w := p.Resized(100, 100, params.Config.Height, params.Config.Width)
		if h != c.side || w != c.side || p.DoCenterCrop != c.centring {
			t.Errorf("%+v: pictures are prepared by %v", c, p)
		}
	}
}

// TestRecipeDecoding: a recipe says how picture files are decoded, and the model that comes of it keeps what it learnt
// on.
func TestRecipeDecoding(t *testing.T) {
	for _, c := range []struct {
		recipe string
		start  bool // of the starting model's preprocessor
		want   picture.Decoding
	}{
		{`{}`, false, picture.Decoding{Exif: picture.ExifIgnore}},
		{`{}`, true, picture.Decoding{Exif: picture.ExifApply}},
		{`{"exif": "apply", "max_pixels": 9}`, false, picture.Decoding{Exif: picture.ExifApply, MaxPixels: 9}},
		{`{"exif": "ignore"}`, true, picture.Decoding{Exif: picture.ExifIgnore}},
	} {
		r, err := ParseRecipe("test", []byte(c.recipe), nil)
		if err != nil {
			t.Fatal(err)
		}
		p := picture.DefaultPreprocessor(32, 32, 3)
		p.Exif = c.start
		if got := r.Preprocess(p, vit.Config{}).Decoding(); got != c.want {
			t.Errorf("%s from a model with EXIF %v: %+v", c.recipe, c.start, got)
		}
	}
	for _, bad := range []string{`{"exif": "turn"}`, `{"max_pixels": -1}`} {
		if _, err := ParseRecipe("test", []byte(bad), nil); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

// TestBundledRecipes makes sure that every recipe that comes with the program can be read, and that overrides reach
// it.
func TestBundledRecipes(t *testing.T) {
	if len(recipes.Names()) < 2 {
		t.Fatalf("only %v", recipes.Names())
	}
	own := []string{"finetune-adaptive", "textile-adaptive", "textile-student-dense"} // for a model of the user's
	for _, name := range recipes.Names() {
		r, err := LoadRecipe(name, []string{"epochs=3", "augment.shift=1"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r.Epochs != 3 || r.Augment.Shift != 1 {
			t.Errorf("%s: overrides are lost: %+v", name, r)
		}
		if r.Variant != "" {
			if _, err := vit.Variant(r.Variant); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if r.Variant == "" && r.Init == "" && !slices.Contains(own, name) {
			t.Errorf("%s starts from neither a variant nor a model", name)
		}
	}
}
