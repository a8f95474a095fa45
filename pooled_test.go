package adavit_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// TestEveryKindOfTokens: models with registers, and those that read a mean of patches, are saved, opened and run within
// budgets; a result says where the image ended.
func TestEveryKindOfTokens(t *testing.T) {
	for _, kind := range tokentest.Kinds {
		m := modeltest.Small(t, true)
		c := m.Params.Config
		kind.Set(&c)
		c.Halting = c.Halting.With("exit", 0.5)
		dir := filepath.Join(t.TempDir(), "model")
		saved := &vit.Model{Params: vit.Initialize(c, 3, 0), Preprocessor: m.Preprocessor}
		if err := vit.Save(dir, saved, weights.F32); err != nil {
			t.Fatal(err)
		}
		opened, err := adavit.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := opened.Params.Config; got.Readouts() != c.Readouts() || got.Pooling != c.Pooling {
			t.Errorf("%s: %+v comes back as %+v", kind.Name, c, got)
		}
		classifier, err := adavit.NewClassifier(opened, adavit.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer classifier.Close()
		img := modeltest.Image(t, modeltest.Fashion(t), 0)
		for _, most := range []float64{0, 0.4} {
			r, err := classifier.Classify(t.Context(), img, adavit.Budget{Max: most})
			if err != nil {
				t.Fatal(err)
			}
			if end := halting.End(c.Readouts(), r.Depth); r.Blocks != end || end != slices.Max(r.Depth) ||
				len(r.Depth) != c.Tokens() || most > 0 && r.TokenShare > most {
				t.Errorf("%s, cap %v: %d blocks, depths %v, share %v", kind.Name, most, r.Blocks, r.Depth, r.TokenShare)
			}
		}
	}
}
