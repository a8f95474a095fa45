package trainer

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/tfevents"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/vit"
)

// boardDir is the folder in a run's folder that TensorBoard reads.
const boardDir = "tensorboard"

// board shows a run in TensorBoard: all figures of its logs, and after each epoch what became of the tokens of a few
// images. It is told what the logs hold, never twice, also when the run is killed and resumed. A nil one shows nothing.
type board struct {
	events  *tfevents.Writer
	show    *vit.Model   // with the preprocessor, and parameters as they come
	images  data.Dataset // the few
	threads int
}

// boardImages is how many images are shown, of as many classes if there are.
const boardImages = 8

// newBoard opens the files. What they say of steps after the given one is cut off: it will be told again. A new run
// begins at −1.
func (r *runner) newBoard(step int) (*board, error) {
	d := shown(r.Data)
	var picked []int
	seen := map[int]bool{}
	for i := 0; i < d.Len() && len(picked) < boardImages; i++ {
		if label := d.Label(i); !seen[label] || len(seen) == len(d.Classes()) {
			seen[label] = true
			picked = append(picked, i)
		}
	}
	images, err := data.Subset(d, picked)
	if err != nil {
		return nil, err
	}
	events, err := tfevents.Open(filepath.Join(r.Dir, boardDir), int64(step))
	return &board{events, &vit.Model{Preprocessor: r.preprocessor}, images, r.Threads}, err
}

// step tells a line of steps.jsonl.
func (b *board) step(s StepEntry) error {
	if b == nil {
		return nil
	}
	b.line(int64(s.Step), "step/", s.Line)
	b.events.Scalar(int64(s.Step), "step/grad_norm", s.GradNorm)
	b.events.Scalar(int64(s.Step), "step/learning_rate", s.LR)
	return b.events.Flush()
}

// line tells what both logs have; distillation's loss only where there is a teacher.
func (b *board) line(at int64, group string, l Line) {
	for _, v := range []struct {
		name  string
		value float64
	}{
		{"loss", l.Loss}, {"loss_ce", l.CrossEntropy}, {"loss_ponder", l.Ponder}, {"loss_prior", l.Prior},
		{"loss_distill", l.Distill}, {"top1", l.TrainTop1}, {"mean_depth", l.MeanDepth},
		{"images_per_second", l.ImagesPerSecond},
	} {
		if v.name != "loss_distill" || v.value != 0 {
			b.events.Scalar(at, group+v.name, v.value)
		}
	}
}

// epoch tells a line of log.jsonl, with the weights that the run would keep after it, for good.
func (b *board) epoch(ctx context.Context, e Entry, p *vit.Params) error {
	if b == nil {
		return nil
	}
	at := int64(e.Step)
	b.line(at, "epoch/", e.Line)
	for group, f := range map[string]*Figures{"validation/": e.Validation, "validation_average/": e.ValidationEMA,
		"test/": e.Test, "test_average/": e.TestEMA} {
		if f == nil {
			continue
		}
		b.events.Scalar(at, group+"top1", f.Top1)
		b.events.Scalar(at, group+"top5", f.Top5)
		b.events.Scalar(at, group+"mean_depth", f.MeanDepth)
		b.events.Scalar(at, group+"macs_per_image", f.MACs)
	}
	if p.Config.Halting.Adaptive() {
		for l, score := range e.LayerScores {
			b.events.Scalar(at, fmt.Sprintf("score/block_%02d", l+1), score)
		}
		if err := b.tokens(ctx, at, p); err != nil {
			return err
		}
	}
	return b.events.Sync()
}

// tokens draws the depth of the images' tokens, and counts it.
func (b *board) tokens(ctx context.Context, at int64, p *vit.Params) error {
	b.show.Params = p
	_, c, err := eval.Collect(ctx, b.images, eval.Options{Threads: b.threads, Precision: infer.F32}, b.show)
	if err != nil {
		return err
	}
	samples := c.Samples()
	if len(samples) == 0 { // images of neither one nor three channels cannot be drawn
		return nil
	}
	var depths []float64
	for _, s := range samples {
		for _, d := range s.Depth {
			depths = append(depths, float64(d))
		}
	}
	b.events.Histogram(at, "tokens/depth", depths, p.Config.Layers)
	img, err := report.Montage(samples, report.FigureOptions{})
	if err != nil {
		return err
	}
	b.events.Image(at, "tokens", img)
	return nil
}

// sync comes before a checkpoint: what was told must last as that does.
func (b *board) sync() error {
	if b == nil {
		return nil
	}
	return b.events.Sync()
}

func (b *board) close() error {
	if b == nil {
		return nil
	}
	return b.events.Close()
}
