package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// TestTeacher: a teacher with a normalisation and an order of classes of its own says of the student's images what it
// says of the same pictures normalised for itself, in the student's order.
func TestTeacher(t *testing.T) {
	m := modeltest.Small(t, false)
	c := m.Params.Config
	names := slices.Clone(c.Labels)
	slices.Reverse(names)
	m.Preprocessor.DoNormalize, m.Preprocessor.Mean, m.Preprocessor.Std = true, []float64{0.3}, []float64{0.2}
	own := picture.DefaultPreprocessor(c.Height, c.Width, c.Channels)
	teacher, err := newTeacher(m, "t", c, own, names, true, eval.UnknownFails, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer teacher.close()
	const images = 5
	pixels := make([]byte, c.Channels*c.Height*c.Width)
	var mine, its []float32
	for i := range images {
		for k := range pixels {
			pixels[k] = byte(i*31 + k*k)
		}
		a, b := make([]float32, len(pixels)), make([]float32, len(pixels))
		own.Normalize(a, pixels, c.Channels, c.Height, c.Width)
		m.Preprocessor.Normalize(b, pixels, c.Channels, c.Height, c.Width)
		mine, its = append(mine, a...), append(its, b...)
	}
	got := make([]float32, images*c.Classes)
	tokens, err := teacher.logits(t.Context(), mine, got)
	if err != nil {
		t.Fatal(err)
	}
	e := modeltest.Engine(t, m.Params, infer.F32, infer.Options{})
	var out infer.Output
	if err := e.Run(t.Context(), infer.Batch{Images: its}, &out); err != nil {
		t.Fatal(err)
	}
	for i := range images {
		for j := range c.Classes {
			want := out.Logits[i*c.Classes+c.Classes-1-j]
			if v := got[i*c.Classes+j]; math.Abs(float64(v-want)) > 1e-4 {
				t.Errorf("image %d, class %d: %v, want %v", i, j, v, want)
			}
			if v := headOf(m.Params, tokens[i*c.Embed:(i+1)*c.Embed], c.Classes-1-j); math.Abs(v-float64(want)) > 1e-3 {
				t.Errorf("image %d, class %d: its token says %v, want %v", i, j, v, want)
			}
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := teacher.logits(ctx, mine, got); !errors.Is(err, context.Canceled) {
		t.Errorf("asked to stop: %v", err)
	}
	for want, change := range map[string]func(c *vit.Config, names *[]string){
		"teacher t takes images of":        func(c *vit.Config, _ *[]string) { c.Height, c.Width = 56, 56 },
		"cannot be compared":               func(c *vit.Config, _ *[]string) { c.Embed *= 2 },
		"knows none of the data's classes": func(_ *vit.Config, names *[]string) { *names = []string{"x", "y"} },
		"the model 10, numbered from 0": func(_ *vit.Config, names *[]string) {
			*names = nil
			for i := range 11 {
				*names = append(*names, strconv.Itoa(i))
			}
		},
	} {
		c, list := c, slices.Clone(names)
		change(&c, &list)
		teacher, err := newTeacher(m, "t", c, own, list, true, eval.UnknownFails, 1)
		if err == nil || !strings.Contains(err.Error(), want) {
			teacher.close()
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// headOf is a class's logit, head(norm(token)).
func headOf(p *vit.Params, token []float32, class int) float64 {
	n := float64(len(token))
	mean, square, logit := 0.0, 0.0, float64(p.HeadBias[class])
	for _, v := range token {
		mean += float64(v) / n
	}
	for _, v := range token {
		square += (float64(v) - mean) * (float64(v) - mean) / n
	}
	for i, v := range token {
		y := (float64(v)-mean)/math.Sqrt(square+p.Config.Eps)*float64(p.NormWeight[i]) + float64(p.NormBias[i])
		logit += y * float64(p.HeadWeight[class*len(token)+i])
	}
	return logit
}

// TestTrainWithEverything runs what reaches into data, model and teacher: a distilled run at a higher resolution on a
// data set without a test part, some of whose files are damaged.
func TestTrainWithEverything(t *testing.T) {
	dir := t.TempDir()
	set, out := filepath.Join(dir, "set"), filepath.Join(dir, "out")
	m := modeltest.Small(t, true)
	larger, err := m.Resize(m.Params.Config.Height*2, m.Params.Config.Width*2)
	if err != nil {
		t.Fatal(err)
	}
	if larger, err = larger.ReplaceHead(2, []string{"bright", "dark"}, 1); err != nil {
		t.Fatal(err)
	}
	writeClasses(t, set)
	r, err := LoadRecipe("finetune-adaptive", []string{"epochs=2", "batch=10", "image_size=56", "damaged=0.1",
		"validation=0.25", "accumulate=2", "learn_gate=true", "freeze=[\"pos_embed\"]",
		"augment.random_resized_crop.interpolation=bilinear", "mix.mixup=0.3", "log_steps=1", "distill.model=larger",
		"distill.mode=hard", "distill.alpha=0.5"})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := data.OpenParts(set, r.Validation, HeldOutSeed)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	epochs := 0
	o := Options{Recipe: r, Data: parts, Init: m, Teacher: larger, NewHead: true, Dir: out, Threads: 2, Workers: 3,
		Report: true, TensorBoard: true, Log: slog.New(slog.NewTextHandler(&said, nil)),
		Epoch: func(_ context.Context, e Entry, p *vit.Params) error {
			if epochs++; e.Epoch != epochs || e.Test.Images != 5 || p.Config.Classes != 2 {
				t.Errorf("after epoch %d: %+v", epochs, e)
			}
			return nil
		}}
	s, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	log, err := ReadLog(out)
	if err != nil || len(log) != 2 || log[0].Distill <= 0 || epochs != 2 {
		t.Errorf("log %+v, %v: want two epochs with what the teacher's part comes to", log, err)
	}
	got, err := vit.Load(out)
	if err != nil {
		t.Fatal(err)
	}
	c := got.Params.Config
	if c.Height != 56 || c.Width != 56 || !slices.Equal(c.Labels, []string{"bright", "dark"}) ||
		c.Halting.Number("gate_scale") == 4 {
		t.Errorf("the model takes %d×%d, labels %q, %+v", c.Height, c.Width, c.Labels, c.Halting)
	}
	if s.Test.Images != 5 || s.Validation.Images != 5 {
		t.Errorf("measured on %d and %d images, want a quarter of 40 in halves", s.Validation.Images, s.Test.Images)
	}
	if !strings.Contains(s.Kept, "of the last step (validation top-1 ") {
		t.Errorf("kept %q", s.Kept)
	}
	for _, name := range []string{s.Report, filepath.Join(out, boardDir)} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(said.String(), "07.png"); n != 1 ||
		!strings.Contains(said.String(), "training picture left out") {
		t.Errorf("the log names the damaged file %d times:\n%s", n, &said)
	}
	o.Recipe.Damaged, o.Dir = 0, filepath.Join(dir, "strict")
	if _, err = Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("no damage is allowed: %v", err)
	}
}

// writeClasses makes a folder of two classes of 20 pictures each, bright ones and dark ones, one of them damaged.
func writeClasses(t *testing.T, dir string) {
	t.Helper()
	for class, level := range map[string]int{"bright": 180, "dark": 20} {
		if err := os.MkdirAll(filepath.Join(dir, class), 0o777); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			img := image.NewGray(image.Rect(0, 0, 30+i, 40))
			for y := range 40 {
				for x := range 30 + i {
					img.SetGray(x, y, color.Gray{uint8(level + (x*y+i)%60)})
				}
			}
			var b bytes.Buffer
			if err := png.Encode(&b, img); err != nil {
				t.Fatal(err)
			}
			if class == "dark" && i == 7 {
				b.Truncate(b.Len() / 2)
			}
			if err := os.WriteFile(filepath.Join(dir, class, fmt.Sprintf("%02d.png", i)), b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestTeacherName: a recipe's teacher can be the model that training starts from.
func TestTeacherName(t *testing.T) {
	for _, test := range []struct{ teacher, init, want string }{
		{"", "base", ""}, {"large", "base", "large"}, {"init", "base", "base"}, {"./init", "base", "./init"},
	} {
		r := Recipe{}
		if test.teacher != "" {
			r.Distill = &train.Distill{Model: test.teacher, Tokens: 1}
		}
		if got, err := r.TeacherName(test.init); got != test.want || err != nil {
			t.Errorf("teacher %q, start %q: %q, %v", test.teacher, test.init, got, err)
		}
	}
	r := Recipe{}
	r.Distill = &train.Distill{Model: train.TeacherInit, Tokens: 1}
	if _, err := r.TeacherName(""); !errors.Is(err, usage.Err) {
		t.Errorf("a start that is not there teaches: %v", err)
	}
}
