package xla

import (
	"math"
	"slices"
	"testing"

	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// TestRunner: logits, depths and counts of tokens are those of our own engine, in full batches and in part of one.
func TestRunner(t *testing.T) {
	for name, count := range map[string]int{"dense": 1, "token": 2, "exit, two heads": 1, "credit, mean": 1} {
		t.Run(name, func(t *testing.T) {
			d, p := open(t, count), problems()[name]
			c := p.params.Config
			images := make([]float32, p.batch.Size*c.ImageLen())
			for i := range p.batch.Size {
				if err := p.batch.Load(i, images[i*c.ImageLen():]); err != nil {
					t.Fatal(err)
				}
			}
			packed, err := infer.Pack(p.params, infer.F32)
			if err != nil {
				t.Fatal(err)
			}
			ours, err := infer.New(packed, infer.Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer ours.Close()
			var want, got infer.Output
			if err := ours.Run(t.Context(), infer.Batch{Images: images}, &want); err != nil {
				t.Fatal(err)
			}
			r, err := NewRunner(d, &vit.Model{Params: p.params, Preprocessor: picture.DefaultPreprocessor(16, 20, 2)}, 6,
				Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if err := r.Run(t.Context(), infer.Batch{Images: images}, &got); err != nil {
				t.Fatal(err)
			}
			for i, v := range want.Logits {
				if math.Abs(float64(v-got.Logits[i])) > 1e-4 {
					t.Fatalf("logit %d is %v, want %v", i, got.Logits[i], v)
				}
			}
			if !slices.Equal(got.Depth, want.Depth) || !slices.Equal(got.Active, want.Active) {
				t.Errorf("depths %v and tokens %v, want %v and %v", got.Depth, got.Active, want.Depth, want.Active)
			}
		})
	}
}

// TestEvaluate: what is measured on devices after each epoch is what our own engine measures, also once the weights and
// gates are others.
func TestEvaluate(t *testing.T) {
	d, m := *open(t, 1), modeltest.Small(t, true)
	d.host = false // it stands for a GPU
	s := train.Settings{Beta1: 0.9, Beta2: 0.999, Loss: train.Loss{TargetLayer: 2}}
	b, err := NewStepper(&d, m.Params.Clone(), s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	o := eval.Options{Limit: 80, Precision: infer.F32}
	for range 2 {
		want, err := eval.Run(t.Context(), m, modeltest.Fashion(t), o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Evaluate(t.Context(), m, modeltest.Fashion(t), o)
		if err != nil {
			t.Fatal(err)
		}
		if got.Top1 != want.Top1 || got.Images != 80 || math.Abs(got.MeanDepth-want.MeanDepth) > 1e-3 {
			t.Errorf("%+v, want %+v", got, want)
		}
		m.Params = vit.Initialize(m.Params.Config, 5, 0)
		m.Params.Config.Halting = m.Params.Config.Halting.With("gate_center", 1)
	}
}

// TestBF16: with products of bfloat16 numbers a step is the same but for their precision.
func TestBF16(t *testing.T) {
	d, p := open(t, 1), problems()["dense"]
	var loss [2]float64
	var gradient [2]*vit.Params
	for i, o := range []Options{{}, {BF16: true}} {
		b, err := NewStepper(d, p.params.Clone(), p.settings, o)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		st, err := b.pass(p.batch, p.settings.Loss, p.params.Config.Halting, true, 1)
		if err == nil {
			gradient[i], err = b.Gradient()
		}
		if err != nil {
			t.Fatal(err)
		}
		loss[i] = st.Loss
	}
	by := apart(gradient[1].Data, gradient[0].Data)
	t.Logf("losses %v, gradients differ by %.1e", loss, by)
	if loss[0] == loss[1] || math.Abs(loss[1]/loss[0]-1) > 0.02 || by > 0.05 {
		t.Errorf("losses %v, gradients differ by %g", loss, by)
	}
}
