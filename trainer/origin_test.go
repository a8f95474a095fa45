package trainer

import (
	"path/filepath"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// TestResumeFromOtherWeights: a run goes on with the model and the teacher that it began with, whatever they are
// called now, and with no others.
func TestResumeFromOtherWeights(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	o := stripesRun(t, dir)
	o.Recipe.Epochs, o.Recipe.Distill = 1, &train.Distill{Model: train.TeacherInit, Tokens: 0.5}
	o.Teacher, o.InitName = o.Init, "first"
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	o.Recipe.Epochs, o.Resume, o.InitName = 2, true, "renamed"
	other := &vit.Model{Params: o.Init.Params.Clone(), Preprocessor: o.Init.Preprocessor}
	other.Params.Data[len(other.Params.Data)/2]++

	changed := o
	changed.Init = other
	_, err := Run(t.Context(), changed)
	filetest.WantError(t, err, "another run", "began with other weights", "--init")
	changed = o
	changed.Teacher = other
	_, err = Run(t.Context(), changed)
	filetest.WantError(t, err, "another run", "another teacher")
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}
