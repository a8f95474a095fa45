package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/internal/turns"
)

// overhead is what our server adds to our engine: the dense model in int8, tensors in.
type overhead struct {
	engine, server, batched []float64 // images a second, by rounds: of the best batch, and of the saturated server
	alone, served           []float64 // median milliseconds of one image: in the engine, and through a nearly idle server
	outside                 []float64 // of the latter, what the server did not spend in its engine
}

// Batches of the engine, and the share of its capacity at which a server is nearly idle.
var engineBatches = []int{1, 8, 32}

const (
	idleLoad    = 0.1
	serverBatch = 8 // images in a request of clients that send several
)

// measureOverhead lets engine and server take turns on the same CPUs.
func (f *serveFindings) measureOverhead(ctx context.Context, m *served) (*overhead, error) {
	var h overhead
	o := f.options
	threads := strconv.Itoa(o.serverCores())
	err := turns.Play(ctx, o.serveOptions.rounds, 2, func(_, i int) error {
		if i == 0 {
			return h.runEngine(ctx, f.program, o.serveOptions, m.dense, threads)
		}
		r, err := launch(ctx, f.program.server(m.dense, "--threads", threads, "--precision", int8Name), o.serverCPUs, m.first)
		if err != nil {
			return err
		}
		defer r.stop()
		for _, batch := range []int{1, serverBatch} {
			result, err := f.program.load(ctx, r.url, true, []float64{idleLoad}, o.time, "--api", "v2", "--like", m.dense,
				"--images", m.pictures, "--batch", strconv.Itoa(batch))
			if err != nil {
				return err
			}
			if result.Rates[0].Latency == nil {
				return fmt.Errorf("no answer at %v of the capacity", idleLoad)
			}
			if batch > 1 {
				h.batched = append(h.batched, float64(batch)*result.Capacity.Requests)
				continue
			}
			h.server = append(h.server, result.Capacity.Requests)
			h.served = append(h.served, result.Rates[0].Latency.P50)
			h.outside = append(h.outside, result.Rates[0].OutsideP50)
		}
		return nil
	}, nil)
	f.progress("%s: server and engine compared", m.name)
	return &h, err
}

// runEngine measures the engine in each batch.
func (h *overhead) runEngine(ctx context.Context, a *ourProgram, o serveOptions, model, threads string) error {
	best := 0.0
	for _, batch := range engineBatches {
		var r tools.BenchResult
		seconds := strconv.FormatFloat(o.time.Seconds()/float64(len(engineBatches)), 'g', 4, 64)
		if err := a.run(ctx, o.serverCPUs, &r, "bench", "--model", model, "--precision", int8Name, "--threads", threads,
			"--batch", strconv.Itoa(batch), "--seconds", seconds); err != nil {
			return err
		}
		if !(r.ImagesPerSecond > 0) {
			return errors.New("adavit bench measured no image")
		}
		best = max(best, r.ImagesPerSecond)
		if batch == 1 {
			h.alone = append(h.alone, r.P50)
		}
	}
	h.engine = append(h.engine, best)
	return nil
}
