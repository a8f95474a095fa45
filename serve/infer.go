package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/pool"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/serve/load"
)

// image is one image of a request on its way through the server.
type image struct {
	pool.Job
	version *version
	item    load.Item     // what it may cost, and what it got
	scheme  int           // of what it may cost; load may have changed Job.Scheme
	pixels  []float32     // memory for what is decoded; Job.Pixels may be the request's own
	seen    []byte        // the decoded picture as the model saw it, [C, H, W]
	decode  time.Duration // of a picture file
}

// images are recycled with the memory for their pixels and results.
var images = sync.Pool{New: func() any { return new(image) }}

// Infer answers a request. Errors are *Error.
func (s *Server) Infer(ctx context.Context, r *Request) (*Response, error) {
	v, err := s.models.acquire(r.Model, r.Version)
	if err != nil {
		return nil, err
	}
	defer v.users.Done()
	begin := time.Now()
	resp, err := s.infer(ctx, v, r)
	took := time.Since(begin)
	if err != nil {
		v.stats.failed(took)
		return nil, asError(err)
	}
	resp.Times.Total = took
	v.stats.answered(resp.Images, resp.Times)
	return resp, nil
}

func (s *Server) infer(ctx context.Context, v *version, r *Request) (*Response, error) {
	input, n, err := r.batch(&v.config)
	if err != nil {
		return nil, err
	}
	wanted, err := r.outputs(&v.config)
	if err != nil {
		return nil, err
	}
	prepare := time.Duration(0)
	if input.Datatype == Bytes {
		prepare = v.decoding.get()
	}
	b, err := s.begin(ctx, v, n, r.Budget, r.Timeout, prepare)
	if err != nil {
		return nil, err
	}
	defer b.end()
	if input.Datatype == Bytes {
		err = b.prepare(input.Bytes)
	} else {
		err = input.pixels(b.images, v.config.ImageLen())
	}
	if err == nil {
		err = b.run()
	}
	if err != nil {
		return nil, err
	}
	resp := &Response{Model: v.name, Version: fmt.Sprint(v.number), ID: r.ID, Images: len(b.images), Cost: b.cost(),
		Times: b.times()}
	for _, o := range wanted {
		t, err := b.output(o)
		if err != nil {
			return nil, err
		}
		resp.Outputs = append(resp.Outputs, t)
	}
	return resp, nil
}

// batch is the images of one request under way.
type batch struct {
	server  *Server
	ctx     context.Context
	cancel  context.CancelFunc
	version *version
	images  []*image
}

// begin admits n images of one request: there must be room for them, and, under an objective, a chance of answering
// them in time, each after the time that preparing it takes.
func (s *Server) begin(ctx context.Context, v *version, n int, budget infer.Budget, timeout, prepare time.Duration) (
	*batch, error) {
	if n > s.options.MaxQueue {
		return nil, refuse(http.StatusRequestEntityTooLarge, "%d images in one request, the most are %d; send them in parts",
			n, s.options.MaxQueue)
	}
	asked := budget != infer.Budget{}
	if !asked {
		budget = s.options.Budget
	}
	scheme, most, err := budget.Limits(v.model)
	switch {
	case errors.Is(err, infer.ErrNoLadder) && !asked: // the server's default is for the models that have one
		budget.Mean = 0
		scheme, most, err = budget.Limits(v.model)
	case errors.Is(err, infer.ErrNoLadder):
		return nil, refuse(http.StatusBadRequest, "%v: ask for compute_budget_max instead, or measure a ladder with "+
			"'adavit calibrate'", err)
	}
	if err != nil {
		return nil, err
	}
	if timeout <= 0 || timeout > s.options.Timeout {
		timeout = s.options.Timeout
	}
	if at, ok := ctx.Deadline(); ok {
		if timeout = min(timeout, time.Until(at)); timeout <= 0 {
			return nil, context.DeadlineExceeded
		}
	}
	ask := v.share
	if budget.Mean > 0 {
		ask = v.reach(budget.Mean)
	}
	if budget.Max > 0 {
		ask = min(ask, budget.Max)
	}
	b := &batch{server: s, version: v}
	for range n {
		img := images.Get().(*image)
		job := pool.Job{Scheme: scheme, Cap: most, Work: ask * float64(v.dense), Value: img, Logits: img.Logits,
			Depth: img.Depth, Active: img.Active}
		item := load.Item{Class: v.class, Dense: float64(v.dense), Ask: ask, Client: asked, Least: s.least(v, ask),
			Prepare: prepare}
		*img = image{Job: job, version: v, item: item, scheme: scheme, pixels: img.pixels, seen: img.seen}
		b.images = append(b.images, img)
	}
	if err := s.admit(b, timeout); err != nil {
		b.recycle()
		return nil, err
	}
	b.ctx, b.cancel = context.WithTimeout(ctx, timeout)
	for _, img := range b.images {
		img.Context, img.Deadline = b.ctx, img.item.Deadline
	}
	return b, nil
}

// end gives back what a batch held.
func (b *batch) end() {
	b.cancel()
	b.server.leave(b)
	b.recycle()
}

// recycle hands the images' memory on.
func (b *batch) recycle() {
	for _, img := range b.images {
		images.Put(img)
	}
	b.images = nil
}

// prepare decodes picture files, each as soon as a thread may. The first that cannot be decoded is the error.
func (b *batch) prepare(files [][]byte) error {
	errs := make([]error, len(files))
	parallel.For(b.server.pool.Threads(), len(files), func(_, i int) { errs[i] = b.decode(b.images[i], files[i]) })
	for i, err := range errs {
		if err != nil && len(files) > 1 {
			known := *asError(err)
			known.Message = fmt.Sprintf("image %d: %s", i, known.Message)
			err = &known
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// decode makes a picture file the model's input, when there is room for it among those that are decoded.
func (b *batch) decode(img *image, file []byte) error {
	s, v := b.server, b.version
	opened, err := v.files.Open("picture", file)
	if err != nil {
		return pictureError(err)
	}
	done, err := s.decoders.wait(b.ctx, int64(opened.Width)*int64(opened.Height))
	if err != nil {
		return err
	}
	defer done()
	begin := time.Now()
	decoded, err := opened.Decode()
	if err != nil {
		return pictureError(err)
	}
	c := &v.config
	size := c.ImageLen()
	img.pixels, img.seen = slices.Grow(img.pixels[:0], size)[:size], slices.Grow(img.seen[:0], size)[:size]
	if err := v.model.Preprocessor.Bytes(img.seen, decoded, c.Channels, c.Height, c.Width); err != nil {
		return refuse(http.StatusUnprocessableEntity, "picture: %v", err)
	}
	img.Pixels = img.pixels
	v.model.Preprocessor.Normalize(img.Pixels, img.seen, c.Channels, c.Height, c.Width)
	img.decode = time.Since(begin)
	s.metrics.decode.Observe(img.decode.Seconds())
	v.decoding.add(img.decode)
	return nil
}

// pictureError gives an error of picture its status.
func pictureError(err error) *Error {
	switch {
	case errors.Is(err, picture.ErrFormat):
		return refuse(http.StatusUnsupportedMediaType, "%v; send the file itself", err)
	case errors.Is(err, picture.ErrTooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "%v; scale it down first", err)
	}
	return refuse(http.StatusUnprocessableEntity, "%v; the file seems to be damaged", err)
}

// run puts the images into the queue and waits for them. The first that failed is the error.
func (b *batch) run() error {
	jobs := make([]*pool.Job, len(b.images))
	for i, img := range b.images {
		jobs[i] = &img.Job
	}
	if err := b.version.engine.Run(jobs...); err != nil {
		return err
	}
	if err := b.ctx.Err(); err != nil {
		return err
	}
	for _, j := range jobs {
		if j.Err != nil {
			return j.Err
		}
	}
	return nil
}
