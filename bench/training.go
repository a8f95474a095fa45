package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// Training is timed like inference, a batch being a step: forward, cross-entropy with label smoothing, backward,
// clipping, AdamW. Before the clock starts the loss and some gradients, which hang together with all others, are
// compared.

// trainingJob is a model and the images of a step.
type trainingJob struct {
	model string
	batch int
}

// trainingJobs are what is trained.
var trainingJobs = []trainingJob{{"deit-tiny", 32}, {"fashion", 32}}

const (
	haltingTag       = " halting" // of our side whose tokens halt while it trains
	trainingOverhead = 0.10       // how much more of a dense step's time an adaptive one may take than its share of tokens
	gradientRelative = 1e-3       // allowed difference, of the largest element
	gradientBF16     = 0.1        // the same where products are rounded
)

// trainingAsked is how many times as fast as PyTorch a dense step is to be: in float32 as its float32, in bfloat16 as
// the fastest that it can do.
var trainingAsked = map[string]float64{f32: 1.3, bf16: 1.7}

// trainingModel makes weights and images. Those of "fashion" are the bundled adaptive model's and Fashion-MNIST's, so
// that tokens halt as they do in a real run; a random model's gates are set so that tokens run in some seven of twelve
// blocks.
func trainingModel(ctx context.Context, cache, name string, batch int) (*model, halting.Config, error) {
	m := &model{name: name, dir: filepath.Join(cache, "models", name+"-training"),
		input: filepath.Join(cache, "models", name+"-training.input")}
	var preprocessor picture.Preprocessor
	var scheme halting.Config
	if name == "fashion" {
		whole, err := adavit.Open(accuracyModel)
		if err != nil {
			return nil, scheme, err
		}
		if m.params, err = whole.Params.Whole(); err != nil {
			return nil, scheme, err
		}
		preprocessor, scheme = whole.Preprocessor, m.params.Config.Halting
		test, err := datasets.FashionMNISTTest()
		if err != nil {
			return nil, scheme, err
		}
		c := m.params.Config
		size := c.Channels * c.Height * c.Width
		m.images = make([]float32, batch*size)
		pixels := make([]byte, size)
		for i := range batch {
			if err := test.Pixels(pixels, i); err != nil {
				return nil, scheme, err
			}
			preprocessor.Normalize(m.images[i*size:(i+1)*size], pixels, c.Channels, c.Height, c.Width)
		}
	} else {
		c, err := vit.Variant(name)
		if err != nil {
			return nil, scheme, err
		}
		m.params, preprocessor, m.images = vit.Initialize(c, 1, 0), picture.DefaultPreprocessor(c.Height, c.Width,
			c.Channels), drawImages(c, batch)
		// Scores near 1/7, so that their sum is there in block 7 or 8.
		scheme = halting.Config{Scheme: "token"}.With("gate_scale", 0.1).With("gate_center", math.Log(6))
	}
	m.params.Config.Halting = halting.Dense()
	if err := os.MkdirAll(filepath.Dir(m.dir), 0o777); err != nil {
		return nil, scheme, err
	}
	if err := vit.Save(m.dir, &vit.Model{Params: m.params, Preprocessor: preprocessor}, weights.F32); err != nil {
		return nil, scheme, err
	}
	return m, scheme, writeImages(m.input, m.images)
}

// trainSide is our own training, in this process.
type trainSide struct {
	stepper *train.Stepper
	lr      float64
	batch   train.Batch
	depth   float64 // blocks that a token ran in, mean of the last step
	layers  int
}

func newTrainSide(j job, precision string, scheme halting.Config) (*trainSide, error) {
	p := j.model.params.Clone()
	p.Config.Halting = scheme
	settings := train.Settings{Precision: precision, Loss: train.Loss{LabelSmoothing: 0.1, TargetLayer: 7},
		WeightDecay: 0.05, Beta1: 0.9, Beta2: 0.999, ClipNorm: 1}
	lr := 1e-4
	if scheme.Adaptive() {
		settings.Loss.AlphaPonder, settings.Loss.AlphaPrior = 5e-4, 0.1
		lr = 0 // tokens go on halting where they do
	}
	stepper, err := train.NewStepper(p, settings, j.threads)
	if err != nil {
		return nil, err
	}
	c := p.Config
	size := c.Channels * c.Height * c.Width
	s := &trainSide{stepper: stepper, lr: lr, layers: c.Layers, batch: train.Batch{Size: j.batch,
		Labels: make([]int32, j.batch)}}
	for i := range s.batch.Labels {
		s.batch.Labels[i] = int32(i % c.Classes)
	}
	s.batch.Load = func(i int, dst []float32) error {
		copy(dst, j.model.images[i*size:(i+1)*size])
		return nil
	}
	return s, nil
}

func (s *trainSide) step() (train.Stats, error) {
	stats, err := s.stepper.Step(train.Update{LR: s.lr, Batch: func(int) (train.Batch, error) { return s.batch, nil }})
	s.depth = stats.MeanDepth
	return stats, err
}

func (s *trainSide) run(ctx context.Context, seconds float64) ([]float64, error) {
	return takeTurn(ctx, seconds, func() error {
		_, err := s.step()
		return err
	})
}

// logits returns the loss and its gradients on the class token, the positions, the patch embedding's bias and the
// head's.
func (s *trainSide) logits(context.Context) ([]float32, error) {
	stats, err := s.step()
	if err != nil {
		return nil, err
	}
	g := s.stepper.Gradient()
	all := []float32{float32(stats.CrossEntropy)}
	for _, part := range [][]float32{g.ClassToken, g.Position, g.PatchBias, g.HeadBias} {
		all = append(all, part...)
	}
	return all, nil
}

func (s *trainSide) close() {}

// training is one contest of training steps.
type training struct {
	contest
	halting *trainSide
}

// trainings runs all contests of training.
func (f *findings) trainings(ctx context.Context, present []peer) error {
	for _, t := range trainingJobs {
		if f.options.training != "all" && f.options.training != t.model {
			continue
		}
		m, scheme, err := trainingModel(ctx, f.options.cache, t.model, t.batch)
		if err != nil {
			return fmt.Errorf("training %s: %w", t.model, err)
		}
		for _, threads := range f.options.threads {
			if err := f.trainWith(ctx, job{m, threads, t.batch}, scheme, present); err != nil {
				return fmt.Errorf("training %s: %w", t.model, err)
			}
		}
	}
	return nil
}

// trainWith lets all who can train take turns.
func (f *findings) trainWith(ctx context.Context, j job, scheme halting.Config, present []peer) error {
	c := &training{contest: contest{job: j, title: fmt.Sprintf("Training %s, %s, batch %d", j.model.name,
		count(j.threads, "thread"), j.batch)}}
	defer c.close()
	f.progress("%s", c.title)
	for _, precision := range f.options.precisions {
		if trainingAsked[precision] == 0 {
			continue
		}
		if err := f.addTraining(ctx, c, precision, scheme, present); err != nil {
			return err
		}
	}
	want, err := c.find(oursName + " " + f32).side.logits(ctx)
	if err != nil {
		return err
	}
	for _, e := range c.entries {
		if e.who == oursName && e.precision == f32 || strings.HasSuffix(e.what, haltingTag) {
			continue
		}
		got, err := e.side.logits(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", e.key(), err)
		}
		if err := sameGradients(got, want, e.precision); err != nil {
			return fmt.Errorf("%s learns something else: %w", e.key(), err)
		}
	}
	rounds := (f.options.rounds + 1) / 2
	if err := c.measure(ctx, rounds, 2*f.options.turn); err != nil {
		return err
	}
	c.writeTable(f.options.stderr)
	f.trained = append(f.trained, c)
	return nil
}

// addTraining adds all sides of one precision.
func (f *findings) addTraining(ctx context.Context, c *training, precision string, scheme halting.Config,
	present []peer) error {
	for _, p := range present {
		t, ok := p.(trainer)
		if !ok {
			continue
		}
		s, setting, err := f.startFastest(ctx, t.training(), c.job, precision, gradientLen(c.model.params.Config))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			c.failed(p, precision, err)
			f.note("%s, %s: %v", c.title, p.name(), err)
			continue
		}
		c.add(&entry{who: p.name(), what: precision, side: s, precision: precision, setting: setting})
	}
	for _, h := range []halting.Config{halting.Dense(), scheme} {
		e := &entry{who: oursName, what: precision, precision: precision}
		s, err := newTrainSide(c.job, precision, h)
		if err != nil {
			return err
		}
		if e.side = s; h.Adaptive() {
			e.what += haltingTag
			if precision == f32 {
				c.halting = s
			}
		}
		c.add(e)
	}
	return nil
}

// gradientLen is how many numbers logits returns.
func gradientLen(c vit.Config) int { return 1 + c.Embed + c.Tokens()*c.Embed + c.Embed + c.Classes }

// sameGradients compares losses, and gradients by their largest element.
func sameGradients(got, want []float32, precision string) error {
	loss, gradient := 1e-4, gradientRelative
	if precision == bf16 {
		loss, gradient = 1e-2, gradientBF16
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d numbers, want %d", len(got), len(want))
	}
	if d := math.Abs(float64(got[0] - want[0])); !(d <= loss*math.Abs(float64(want[0]))) {
		return fmt.Errorf("the loss is %v, ours %v", got[0], want[0])
	}
	largest, worst := 0.0, 0.0
	for i, w := range want[1:] {
		largest = max(largest, math.Abs(float64(w)))
		if d := math.Abs(float64(got[i+1] - w)); !(d <= worst) { // NaN too
			worst = d
		}
	}
	if !(worst <= gradient*largest) {
		return fmt.Errorf("gradients differ by %.2g of the largest, allowed %g", worst/largest, gradient)
	}
	return nil
}
