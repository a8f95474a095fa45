package tools

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

const checkpoints = "testdata/checkpoints/" // one ViT as others save it; make.py wrote them

// converted converts a checkpoint and opens the result.
func converted(t *testing.T, src string, o ConvertOptions) (*vit.Model, Conversion) {
	t.Helper()
	dst := filepath.Join(t.TempDir(), "m")
	done, err := Convert(context.Background(), src, dst, o)
	filetest.Check(t, err)
	m, err := adavit.Open(dst)
	filetest.Check(t, err)
	m.Params, err = m.Params.Whole()
	filetest.Check(t, err)
	return m, done
}

// logitsOf runs a model on the input in file.
func logitsOf(t *testing.T, m *vit.Model, file string) []float32 {
	t.Helper()
	f, err := weights.ReadSafetensors(file)
	filetest.Check(t, err)
	out, err := Predict(context.Background(), m, file, f, PredictOptions{})
	filetest.Check(t, err)
	at := slices.IndexFunc(out, func(x weights.Tensor) bool { return x.Name == "logits" })
	logits, err := out[at].Float32s()
	filetest.Check(t, err)
	return logits
}

// TestConvertBrought: the same ViT has the same logits, whoever saved it, and what was chosen is said.
func TestConvertBrought(t *testing.T) {
	const expect = checkpoints + "expect.safetensors"
	f, err := weights.ReadSafetensors(expect)
	filetest.Check(t, err)
	x, _ := f.Get("logits")
	want, err := x.Float32s()
	filetest.Check(t, err)
	for _, v := range []struct {
		name  string
		heads int
		notes []string
		side  int // side of the picture's resize, where a single file's names tell whose it is
	}{
		{"timm.pth", 2, []string{"DeiT's evaluation is taken"}, 9},
		{"torchvision.pth", 2, []string{"torchvision's evaluation"}, 9},
		{"jax.npz", 0, []string{"Google's ViT"}, 8},
		{"lightning.ckpt", 2, []string{`begin with "model.vit."`, `"model.classifier"`,
			`left out, as it has no part in classifying: "criterion."`}, 9},
		{"sharded", 0, nil, 9},
	} {
		m, done := converted(t, checkpoints+v.name, ConvertOptions{Heads: v.heads})
		for i, got := range logitsOf(t, m, expect) {
			if math.Abs(float64(got-want[i])) > 1e-5 {
				t.Errorf("%s: logit %d is %v, want %v", v.name, i, got, want[i])
			}
		}
		for _, note := range v.notes {
			if !strings.Contains(strings.Join(done.Notes, "\n"), note) {
				t.Errorf("%s: notes %q, want %q", v.name, done.Notes, note)
			}
		}
		if side, _ := m.Preprocessor.Resized(100, 100, 8, 8); side != v.side {
			t.Errorf("%s: preprocessing %v, %+v", v.name, m.Preprocessor, m.Preprocessor)
		}
		if v.name == "sharded" && !slices.Equal(m.Params.Config.Labels, []string{"10", "b", "0"}) {
			t.Errorf("labels %q", m.Params.Config.Labels)
		}
	}
}

// TestConvertHeadless: weights without a head get one where that is asked for, and else an error that says how.
func TestConvertHeadless(t *testing.T) {
	m, done := converted(t, checkpoints+"dino.pth", ConvertOptions{Heads: 2, Classes: 4})
	whole, _ := converted(t, checkpoints+"timm.pth", ConvertOptions{Heads: 2, Classes: 4})
	if !slices.Equal(m.Params.Data, whole.Params.Data) { // a fresh head depends on its seed alone
		t.Error("DINO's teacher is another ViT than that without a head")
	}
	for _, note := range []string{`entry "teacher" of student, teacher`, `begin with "backbone."`, `"head." (2 tensors)`,
		"the head is fresh"} {
		if !strings.Contains(strings.Join(done.Notes, "\n"), note) {
			t.Errorf("notes %q, want %q", done.Notes, note)
		}
	}
	student, _ := converted(t, checkpoints+"dino.pth", ConvertOptions{Heads: 2, Classes: 4, Key: "student"})
	if slices.Max(student.Params.ClassToken) != 0 {
		t.Error("key student took the teacher")
	}
	for _, v := range []struct {
		name  string
		o     ConvertOptions
		fault string
	}{
		{"dino.pth", ConvertOptions{Heads: 2}, "no head (no tensor such as"},
		{"dino.pth", ConvertOptions{Heads: 2}, "(--num-classes says"},
		{"dino.pth", ConvertOptions{Heads: 2, Classes: 4, Prefix: "student."}, `no ViT behind the prefix "student."; ` +
			`there is one behind "backbone."`},
		{"sharded", ConvertOptions{Prefix: "vit."}, "--prefix is for a checkpoint of a single file"},
	} {
		_, err := Convert(context.Background(), checkpoints+v.name, filepath.Join(t.TempDir(), "m"), v.o)
		if err == nil || !strings.Contains(err.Error(), v.fault) {
			t.Errorf("%s: %v, want %q", v.name, err, v.fault)
		}
	}
}

// TestTrainHeadless: a directory without a head can be fine-tuned with a new one, and pictures stay prepared as it
// says.
func TestTrainHeadless(t *testing.T) {
	dir := t.TempDir()
	init, set := filepath.Join(dir, "init"), filepath.Join(dir, "set")
	m := modeltest.Small(t, false)
	m.Preprocessor.Mean[0] = 0.25
	filetest.Check(t, vit.Save(init, m, weights.F32))
	file := filepath.Join(init, vit.WeightsFile)
	f, err := weights.ReadSafetensors(file)
	filetest.Check(t, err)
	f.Tensors = slices.DeleteFunc(f.Tensors,
		func(x weights.Tensor) bool { return strings.HasPrefix(x.Name, "classifier.") })
	filetest.Check(t, weights.WriteSafetensors(file, f.Metadata, f.Tensors))
	modeltest.WriteIDX(t, set)
	r, err := trainer.ParseRecipe("test", []byte(`{"epochs": 1, "batch": 8}`), nil)
	filetest.Check(t, err)
	o := trainer.Options{Recipe: r, DataName: set, InitName: init, Threads: 2, Dir: filepath.Join(dir, "out")}
	if _, err := Train(t.Context(), o, infer.Auto); !errors.Is(err, vit.ErrNoHead) {
		t.Errorf("%v, want %v", err, vit.ErrNoHead)
	}
	o.NewHead = true
	_, err = Train(t.Context(), o, infer.Auto)
	filetest.Check(t, err)
	trained, err := adavit.Open(o.Dir)
	filetest.Check(t, err)
	if c := trained.Params.Config; c.Classes != 10 || trained.Preprocessor.Mean[0] != 0.25 {
		t.Errorf("%d classes, preprocessing %+v", c.Classes, trained.Preprocessor)
	}
}
