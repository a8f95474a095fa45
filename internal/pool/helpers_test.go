package pool

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/vit"
)

// The schemes of a test's model, as Job.Scheme counts them.
const (
	plain  = iota // the model's own
	gated         // waits at the gate after block 1
	faulty        // panics after block 2
	late          // the model's own with another constant
)

// gate is a scheme that stops a worker in the middle of a pass: in says that one has come, out lets one go on.
type gate struct {
	halting.Scheme
	in, out chan struct{}
}

func (g gate) Step(s *halting.State, r halting.Rows) {
	if r.Layer == 1 {
		g.in <- struct{}{}
		<-g.out
	}
	g.Scheme.Step(s, r)
}

type broken struct{ halting.Scheme }

func (b broken) Step(s *halting.State, r halting.Rows) {
	if r.Layer == 2 {
		panic("a fault")
	}
	b.Scheme.Step(s, r)
}

// bench is a pool with a model, and what it has run.
type bench struct {
	*Pool
	t      *testing.T
	gate   gate
	params *vit.Params
	model  *Model
	pixels [50][]float32 // [C, H, W]
	alone  map[infer.Precision]*infer.Engine

	mu     sync.Mutex
	passes []ran
}

// ran is a Pass as it was when it had run.
type ran struct {
	Pass
	values []any // of its jobs
}

// parameters makes a model of 28×28 images with random weights, 50 tokens, three blocks, that halts tokens at many
// depths.
func parameters(t *testing.T) *vit.Params {
	c, err := vit.Variant("fashion-small")
	if err != nil {
		t.Fatal(err)
	}
	c.Layers = 3
	c.Halting = halting.Config{Scheme: "token"}.With("gate_scale", 4).With("gate_center", 0.5)
	return vit.Initialize(c, 3, 0)
}

// newBench starts a pool whose Ran is the bench's, unless the options have one. It ends with the test.
func newBench(t *testing.T, o Options) *bench {
	t.Helper()
	b := &bench{t: t, alone: map[infer.Precision]*infer.Engine{}}
	note := func(p Pass) {
		r := ran{Pass: p}
		for _, j := range p.Jobs {
			r.values = append(r.values, j.Value)
		}
		r.Jobs = slices.Clone(p.Jobs)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.passes = append(b.passes, r)
	}
	if o.Ran == nil {
		o.Ran = note
	}
	var err error
	if b.Pool, err = New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	b.params = parameters(t)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b.pixels {
		b.pixels[i] = make([]float32, b.params.Config.ImageLen())
		for k := range b.pixels[i] {
			b.pixels[i][k] = float32(r.NormFloat64())
		}
	}
	own, err := halting.New(b.params.Config.Halting)
	if err != nil {
		t.Fatal(err)
	}
	b.gate = gate{own, make(chan struct{}), make(chan struct{})}
	b.model = b.add(infer.F32)
	return b
}

// schemes are a model's.
func (b *bench) schemes() []halting.Scheme {
	other, err := halting.New(b.params.Config.Halting.With("gate_center", 2))
	if err != nil {
		b.t.Fatal(err)
	}
	return []halting.Scheme{b.gate.Scheme, b.gate, broken{b.gate.Scheme}, other}
}

// add adds the model once more.
func (b *bench) add(precision infer.Precision) *Model {
	b.t.Helper()
	w, err := infer.Pack(b.params, precision)
	if err != nil {
		b.t.Fatal(err)
	}
	m, err := b.Pool.add(w, b.schemes())
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

// job makes one of image i.
func (b *bench) job(i int) *Job { return &Job{Pixels: b.pixels[i%len(b.pixels)], Value: i} }

// jobs makes jobs of the images first … first+n−1.
func (b *bench) jobs(first, n int) []*Job {
	list := make([]*Job, n)
	for i := range list {
		list[i] = b.job(first + i)
	}
	return list
}

// start runs jobs in the background. The function returned waits for Run's end and its error.
func (b *bench) start(m *Model, jobs ...*Job) (wait func() error) {
	done := make(chan error, 1)
	go func() { done <- m.Run(jobs...) }()
	return func() error {
		b.t.Helper()
		select {
		case err := <-done:
			return err
		case <-time.After(time.Minute):
			b.t.Fatal("Run does not return")
			return nil
		}
	}
}

// hold has so many workers stop at the gate, each with a job of its own. The function returned lets one of them go on.
func (b *bench) hold(workers int) (release func()) {
	b.t.Helper()
	list := b.jobs(0, workers)
	for _, j := range list {
		j.Scheme, j.Value = gated, "held"
	}
	wait := b.start(b.model, list...)
	for range workers {
		<-b.gate.in
	}
	b.t.Cleanup(func() { wait() })
	return func() { b.gate.out <- struct{}{} }
}

// grow has every worker run a full pass of the model at the same time.
func (b *bench) grow() {
	release, size := b.hold(b.Threads()), b.model.PassSize()
	jobs := b.jobs(0, b.Threads()*size+1)
	for i, j := range jobs {
		if j.Work = 1; i%size == 0 {
			j.Scheme = gated
		}
	}
	last := jobs[len(jobs)-1]
	last.Work, last.Scheme = 1e6, plain // with which a share is more than any pass holds
	wait := b.queue(b.model, jobs...)
	for range b.Threads() {
		release()
	}
	for range b.Threads() {
		<-b.gate.in
	}
	for range b.Threads() {
		release()
	}
	wait()
	b.until("nobody is at work", func() bool { return b.Busy() == 0 })
}

// queue starts jobs and returns once they wait.
func (b *bench) queue(m *Model, jobs ...*Job) (wait func() error) {
	b.t.Helper()
	n := b.Waiting()
	wait = b.start(m, jobs...)
	b.until("the jobs wait", func() bool { return b.Waiting() == n+len(jobs) })
	return wait
}

// until waits for something that is about to happen.
func (b *bench) until(what string, is func() bool) {
	b.t.Helper()
	for begin := time.Now(); !is(); time.Sleep(100 * time.Microsecond) {
		if time.Since(begin) > time.Minute {
			b.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// ran returns the passes so far, those of hold left out.
func (b *bench) ran() []ran {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.passes), func(r ran) bool {
		return len(r.values) > 0 && r.values[0] == "held"
	})
}

// want returns the result of a job as an engine alone has it.
func (b *bench) want(j *Job, precision infer.Precision) *infer.Output {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.alone[precision] == nil {
		b.alone[precision] = modeltest.Engine(b.t, b.params, precision, infer.Options{Schemes: b.schemes()})
	}
	out, scheme := &infer.Output{}, j.Scheme
	if scheme == gated {
		scheme = plain // of the same bits
	}
	batch := infer.Batch{Images: j.Pixels, Caps: []int{j.Cap}, Scheme: []int{scheme}}
	if err := b.alone[precision].Run(context.Background(), batch, out); err != nil {
		b.t.Fatal(err)
	}
	return out
}

// check requires jobs to have their results, to the bit.
func (b *bench) check(precision infer.Precision, jobs ...*Job) {
	b.t.Helper()
	for _, j := range jobs {
		if j.Err != nil {
			b.t.Errorf("image %v: %v", j.Value, j.Err)
			continue
		}
		want := b.want(j, precision)
		if !slices.Equal(j.Logits, want.Logits) || !slices.Equal(j.Depth, want.Depth) ||
			!slices.Equal(j.Active, want.Active) {
			b.t.Errorf("image %v, scheme %d, cap %d: other bits than alone", j.Value, j.Scheme, j.Cap)
		}
		if j.Batch < 1 || j.Ran <= 0 || j.Queued < 0 || j.task != nil {
			b.t.Errorf("image %v: %+v", j.Value, j)
		}
	}
}

// sum returns the token-blocks of jobs.
func sum(jobs []*Job) int {
	n := 0
	for _, j := range jobs {
		for _, d := range j.Depth {
			n += int(d)
		}
	}
	return n
}

// values returns the images of jobs.
func values(jobs []*Job) []any {
	list := make([]any, len(jobs))
	for i, j := range jobs {
		list[i] = j.Value
	}
	return list
}

// byUrgency sorts jobs as they should run, ties in the order given.
func byUrgency(jobs []*Job) []*Job {
	return slices.SortedStableFunc(slices.Values(jobs), func(a, b *Job) int {
		if a.Deadline.IsZero() != b.Deadline.IsZero() {
			return cmp.Compare(b.Deadline.Unix(), a.Deadline.Unix())
		}
		return a.Deadline.Compare(b.Deadline)
	})
}
