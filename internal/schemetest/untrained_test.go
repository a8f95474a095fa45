package schemetest

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/adavit/adavit/compare"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

var _ = halting.Register(halting.Descriptor{
	Name: "unlearnt", Summary: "says that it cannot be trained", New: newUnsure, Training: halting.Untrained,
})

var _ = halting.Register(halting.Descriptor{Name: "unsure", Summary: "cannot be trained", New: newUnsure})

func newUnsure(halting.Config) halting.Scheme { return unsure{} }

// unsure asks for a prediction after each block in training, too, where none is made in time.
type unsure struct{ level }

func (unsure) Needs(layer, layers int) halting.Needs { return halting.Needs{Logits: layer < layers} }

// TestIsNotTrained: a scheme that cannot be trained is refused, whether it says so or asks for what training lacks.
func TestIsNotTrained(t *testing.T) {
	for _, name := range []string{"unlearnt", "unsure"} {
		m := modeltest.Small(t, false)
		m.Params.Config.Halting = halting.Config{Scheme: name}
		_, err := train.NewNetwork(m.Params, 1)
		filetest.WantError(t, err, `scheme "`+name+`" cannot be trained`)
	}
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := vit.Save(file("dense"), modeltest.Small(t, false), weights.F32); err != nil {
		t.Fatal(err)
	}
	_, err := compare.Run(t.Context(), compare.Options{
		Model: file("dense"), Data: file("nowhere"), Dir: file("out"), Schemes: []string{"unlearnt:train=true"},
	})
	if filetest.WantError(t, err, "train is for training"); !errors.Is(err, usage.Err) {
		t.Errorf("%v, want an error of usage", err)
	}
}
