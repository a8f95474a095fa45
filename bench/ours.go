package main

import (
	"context"
	"time"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/kernels"
)

// Precisions by the names that tables and infer use.
const (
	f32      = string(infer.F32)
	bf16     = string(infer.BF16)
	int8Name = string(infer.Int8)
)

// leastBatches are run in every turn, so that its median is one.
const leastBatches = 3

// engineSide is our own engine, in this process.
type engineSide struct {
	engine *infer.Engine
	path   string    // kernels that it runs on; "" for the fastest
	images []float32 // [n, C, H, W]
	batch  []float32 // the images of a turn, [batch, C, H, W]
	size   int       // numbers of one image
	out    infer.Output
}

// newEngineSide packs the weights. shares, if not nil, is the share of patch tokens that run in each block.
func newEngineSide(j job, precision, path string, shares []float64) (*engineSide, error) {
	o := infer.Options{Threads: j.threads}
	if shares != nil {
		scheme, err := halting.NewFixedShares(shares)
		if err != nil {
			return nil, err
		}
		o.Schemes = []halting.Scheme{scheme}
	}
	s := &engineSide{path: path, images: j.model.images}
	c := j.model.params.Config
	s.size = c.Channels * c.Height * c.Width
	s.batch = make([]float32, j.batch*s.size)
	copy(s.batch, s.images)
	err := s.onPath(func() error {
		w, err := infer.Pack(j.model.params, infer.Precision(precision))
		if err == nil {
			s.engine, err = infer.New(w, o)
		}
		return err
	})
	return s, err
}

// onPath calls f with this side's kernels in use.
func (s *engineSide) onPath(f func() error) error {
	if s.path == "" {
		return f()
	}
	restore, err := kernels.Use(s.path)
	if err != nil {
		return err
	}
	defer restore()
	return f()
}

func (s *engineSide) run(ctx context.Context, seconds float64) (ms []float64, err error) {
	err = s.onPath(func() error {
		ms, err = takeTurn(ctx, seconds, func() error { return s.engine.Run(ctx, infer.Batch{Images: s.batch}, &s.out) })
		return err
	})
	return ms, err
}

// takeTurn works through batches for about so many seconds, after one that is not counted, and returns the milliseconds
// of each.
func takeTurn(ctx context.Context, seconds float64, batch func() error) (ms []float64, err error) {
	if err := batch(); err != nil {
		return nil, err
	}
	for start := time.Now(); len(ms) < leastBatches || time.Since(start).Seconds() < seconds; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		begin := time.Now()
		if err := batch(); err != nil {
			return nil, err
		}
		ms = append(ms, time.Since(begin).Seconds()*1000)
	}
	return ms, nil
}

func (s *engineSide) logits(ctx context.Context) ([]float32, error) {
	var all []float32
	err := s.onPath(func() error {
		for first := 0; first < len(s.images); first += len(s.batch) {
			if err := ctx.Err(); err != nil {
				return err
			}
			part := infer.Batch{Images: s.images[first:min(first+len(s.batch), len(s.images))]}
			if err := s.engine.Run(ctx, part, &s.out); err != nil {
				return err
			}
			all = append(all, s.out.Logits...)
		}
		return nil
	})
	return all, err
}

// macs returns the multiply-adds of one image of the last turn: those that the engine performed, and as vit.Config.MACs
// counts them.
func (s *engineSide) macs() (performed, nominal float64) {
	c := s.engine.Config()
	ran := s.out.Active[:c.Layers]
	return float64(s.engine.MACs(ran)), float64(c.MACs(ran))
}

func (s *engineSide) close() { s.engine.Close() }

// avitTiny stands for the tokens of A-ViT-Ti, whose mean depth is published, 7.23 of 12, but not how many tokens run in
// each block: their share falls evenly from 1 so that patch tokens run in 7.23 blocks on average. (The class token runs
// in all 12, which makes ours a little more work.)
func avitTiny() []float64 {
	const layers, depth = 12, 7.23
	shares := make([]float64, layers)
	for l := range shares {
		shares[l] = 1 - float64(l)/(layers-1)*2*(1-depth/layers)
	}
	return shares
}

// peakRate measures the multiply-adds' rate, in operations a second, that so many cores reach together on the path in
// use.
func peakRate(precision string, threads int, d time.Duration) float64 {
	measure := kernels.PeakFLOPS
	switch precision {
	case bf16:
		measure = kernels.PeakBF16
	case int8Name:
		measure = kernels.PeakInt8
	}
	rates := make(chan float64, threads)
	for range threads {
		go func() { rates <- measure(d) }()
	}
	sum := 0.0
	for range threads {
		sum += <-rates
	}
	return sum
}
