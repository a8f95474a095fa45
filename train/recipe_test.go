package train

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/adavit/adavit/vit"
)

// TestRecipeRefuses: a value that makes no sense is an error that names it.
func TestRecipeRefuses(t *testing.T) {
	for set, want := range map[string]string{
		"keep=first":              `keep is "first", want "last" or "best"`,
		"log_steps=-1":            "log_steps is -1",
		"validation=0.95":         "validation is 0.95, want 0 to 0.9",
		"damaged=2":               "damaged is 2, want 0 to 1",
		"accumulate=-2":           "accumulate",
		"accumulate=7":            "a batch of 64 images cannot be cut into 7 equal parts",
		"repeats=1e9":             "repeats",
		"image_size=100000":       "image_size",
		"ponder_lambda=1.5":       "ponder_lambda",
		"ponder_beta=-1":          "ponder_beta",
		"prior_deviation=-1":      "prior_deviation",
		"distill.model=x":         `distill: mode is "", want "soft" or "hard"`,
		`distill={"mode":"soft"}`: "distill: no model is named",
		`distill={"model":"x","mode":"soft","alpha":0}`:                    "distill: alpha is 0",
		`distill={"model":"x","mode":"hard","alpha":0.5,"temperature":-1}`: "distill: temperature is -1",
		`distill={"model":"x","teacher":"y"}`:                              "unknown field",
		"mix.mixup=-1":                                                     "mix: mixup -1",
		"freeze=head.*":                                                    "cannot unmarshal",
		"learn_gate=soon":                                                  "cannot unmarshal",
	} {
		if _, err := ParseRecipe("test", []byte(`{"variant": "fashion"}`), []string{set}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", set, err, want)
		}
	}
}

// TestRecipeRoundTrip: what a card or a checkpoint holds of a recipe is all of it.
func TestRecipeRoundTrip(t *testing.T) {
	r, err := ParseRecipe("test", []byte(`{"init": "fashion-dense", "halting": {"policy": "topk", "keep": 0.5, "layers": [2, 4]}, "freeze": ["blocks.[0-5].*"], "image_size": 56,
		"distill": {"model": "d", "mode": "soft", "alpha": 0.5, "temperature": 3}, "mix": {"cutmix": 1}, "repeats": 3, "accumulate": 2, "learn_gate": true, "keep": "best",
		"prior_shape": "laplace", "prior_deviation": 2, "ponder_beta": 0.01, "ponder_lambda": 0.2, "validation": 0.1, "damaged": 0, "log_steps": 5}`), nil)
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
	l := r.loss()
	if l.PriorShape != "laplace" || l.PriorDeviation != 2 || l.PonderBeta != 0.01 || l.PonderLambda != 0.2 || l.Distill != DistillSoft || l.DistillAlpha != 0.5 || l.DistillTemperature != 3 {
		t.Errorf("the loss is %+v", l)
	}
}

// TestResolve: the prior's centre is one block after the middle unless the recipe has one.
func TestResolve(t *testing.T) {
	c := vit.Config{Layers: 12}
	if r := (Recipe{}).resolve(c); r.TargetLayer != 0 {
		t.Errorf("dense: target layer %v", r.TargetLayer)
	}
	c.Halting.Policy = "token"
	if r := (Recipe{}).resolve(c); r.TargetLayer != 7 {
		t.Errorf("target layer %v, want 7", r.TargetLayer)
	}
	if r := (Recipe{TargetLayer: 4}).resolve(c); r.TargetLayer != 4 {
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
