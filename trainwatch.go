package adavit

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/internal/tfevents"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// boardDir is the folder in a run's folder that TensorBoard reads.
const boardDir = "tensorboard"

// board shows a run in TensorBoard: all figures of its logs, and after each epoch what became of the tokens of a few test images.
type board struct {
	dir     string
	events  *tfevents.Writer // nil before Begin
	show    *vit.Model       // with the preprocessor, and parameters as they come
	images  data.Dataset     // the few
	threads int
}

// boardImages is how many test images are shown, of as many classes if there are.
const boardImages = 8

// newBoard prepares to show a run in dir whose test images are d.
func newBoard(dir string, p picture.Preprocessor, d data.Dataset, threads int) (*board, error) {
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
	return &board{dir: filepath.Join(dir, boardDir), show: &vit.Model{Preprocessor: p}, images: images, threads: threads}, nil
}

// Begin implements train.Watcher.
func (b *board) Begin(step int) (err error) {
	b.events, err = tfevents.Open(b.dir, int64(step))
	return err
}

// Step implements train.Watcher.
func (b *board) Step(s train.StepEntry) error {
	at := int64(s.Step)
	b.losses(at, "step", s.Loss, s.CrossEntropy, s.Distill, s.Ponder, s.Prior)
	b.events.Scalar(at, "step/top1", s.TrainTop1)
	b.events.Scalar(at, "step/mean_depth", s.MeanDepth)
	b.events.Scalar(at, "step/grad_norm", s.GradNorm)
	b.events.Scalar(at, "step/learning_rate", s.LR)
	b.events.Scalar(at, "step/images_per_second", s.ImagesPerSecond)
	return b.events.Flush()
}

// losses writes the terms of a loss; distillation's only where there is a teacher.
func (b *board) losses(at int64, group string, total, ce, distill, ponder, prior float64) {
	b.events.Scalar(at, group+"/loss", total)
	b.events.Scalar(at, group+"/loss_ce", ce)
	b.events.Scalar(at, group+"/loss_ponder", ponder)
	b.events.Scalar(at, group+"/loss_prior", prior)
	if distill != 0 {
		b.events.Scalar(at, group+"/loss_distill", distill)
	}
}

// Epoch implements train.Watcher.
func (b *board) Epoch(ctx context.Context, e train.Entry, p *vit.Params) error {
	at := int64(e.Step)
	b.losses(at, "epoch", e.Loss, e.CrossEntropy, e.Distill, e.Ponder, e.Prior)
	b.events.Scalar(at, "epoch/top1", e.TrainTop1)
	b.events.Scalar(at, "epoch/mean_depth", e.MeanDepth)
	b.events.Scalar(at, "epoch/images_per_second", e.ImagesPerSecond)
	for group, figures := range map[string]map[string]float64{"test": e.Test, "test_average": e.TestEMA} {
		for _, name := range []string{"top1", "top5", "mean_depth", "macs_per_image"} {
			if v, ok := figures[name]; ok {
				b.events.Scalar(at, group+"/"+name, v)
			}
		}
	}
	if p.Config.Halting.Adaptive() {
		for l, score := range e.LayerScores {
			b.events.Scalar(at, fmt.Sprintf("score/block_%02d", l+1), score)
		}
		if err := b.tokens(ctx, at, p); err != nil {
			return err
		}
	}
	return b.events.Flush()
}

// tokens draws the depth of the images' tokens, and counts it.
func (b *board) tokens(ctx context.Context, at int64, p *vit.Params) error {
	b.show.Params = p
	c, err := eval.Collect(ctx, b.show, b.images, b.threads)
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
	img, err := report.Montage(samples, report.MontageOptions{})
	if err != nil {
		return err
	}
	b.events.Image(at, "tokens", img)
	return nil
}

// Sync implements train.Watcher.
func (b *board) Sync() error { return b.events.Sync() }

// Close implements train.Watcher.
func (b *board) Close() error {
	if b.events == nil {
		return errors.New("nothing was begun")
	}
	return b.events.Close()
}
