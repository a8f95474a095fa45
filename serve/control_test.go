package serve

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/internal/pool"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/serve/load"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// TestPlan plans passes of more images than can be done in time at full budget: they get constants of the model's
// ladder, and their own again once they are few.
func TestPlan(t *testing.T) {
	s, _ := start(t, Options{Threads: 1, Objective: 300 * time.Millisecond, BudgetMin: 0.1}, withLadder(t))
	v, err := s.models.acquire("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer v.users.Done()
	v.class = s.control.NewClass(8, 0.01/float64(v.dense)) // 10 ms for a dense image
	plan := func(n int, budget infer.Budget) (b *batch, jobs []*pool.Job) {
		b, err := s.begin(t.Context(), v, n, budget, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, img := range b.images {
			jobs = append(jobs, &img.Job)
		}
		s.plan(jobs)
		return b, jobs
	}
	few, jobs := plan(2, infer.Budget{})
	for _, j := range jobs {
		if img := j.Value.(*image); j.Scheme != 0 || img.item.Reason != load.Default || j.Work != float64(v.dense) {
			t.Errorf("two images: scheme %d, %v, work %v", j.Scheme, img.item.Reason, j.Work)
		}
	}
	s.ran(pool.Pass{Jobs: jobs, Images: len(jobs)}) // it says nothing of the speed
	few.end()
	many, jobs := plan(36, infer.Budget{Mean: 0.9}) // 324 ms at their budget, 108 at the least
	for _, j := range jobs {
		img := j.Value.(*image)
		want, _, err := infer.Budget{Mean: img.item.Share}.Limits(v.model)
		if err != nil || j.Err != nil || img.item.Reason != load.Load || img.item.Share >= 0.8 || img.item.Share < 0.3 ||
			j.Scheme != want || j.Work != img.item.Share*float64(v.dense) {
			t.Fatalf("36 images: %v, scheme %d, want %d; %+v", j.Err, j.Scheme, want, img.item)
		}
	}
	if c := many.cost(); c.Reason != load.Load || c.Applied >= 0.8 {
		t.Errorf("36 images cost %+v", c)
	}
	// What cannot be done in time at the least budgets is refused, with an honest time to come back.
	var e *Error
	if _, err := s.begin(t.Context(), v, 60, infer.Budget{}, 0, 0); !errors.As(err, &e) || e.Status != 503 ||
		e.RetryAfter <= 0 || e.RetryAfter > time.Second {
		t.Errorf("sixty images more: %v, %+v", err, e)
	}
	// Pictures that are still to be decoded take the same CPUs: 20 of 20 ms are more than fits behind the 36.
	one, err := s.begin(t.Context(), v, 1, infer.Budget{}, 0, 0)
	if err != nil {
		t.Fatalf("one image more: %v", err)
	}
	one.end()
	if _, err := s.begin(t.Context(), v, 10, infer.Budget{}, 0, 20*time.Millisecond); !errors.As(err, &e) ||
		e.Status < 400 {
		t.Errorf("ten pictures to be decoded: %v", err)
	}
	// What could not be done in time on an idle server either.
	if _, err := s.begin(t.Context(), v, 200, infer.Budget{}, 0, 0); !errors.As(err, &e) || e.Status != 413 {
		t.Errorf("two hundred images at once: %v", err)
	}
	if _, err := s.begin(t.Context(), v, 100, infer.Budget{}, time.Millisecond, 0); !errors.As(err, &e) ||
		e.Status != 504 {
		t.Errorf("a hundred images in a millisecond: %v", err)
	}
	many.end()
	if n := s.admitted.Load(); n != 0 {
		t.Errorf("%d images are left over", n)
	}
}

// slow is a model that takes some milliseconds for an image.
func slow(t testing.TB) Source {
	t.Helper()
	c, err := vit.Variant("deit-tiny")
	if err != nil {
		t.Fatal(err)
	}
	m := &vit.Model{Params: vit.Initialize(c, 1, 0.02), Preprocessor: picture.DefaultPreprocessor(c.Height, c.Width,
		c.Channels)}
	dir := t.TempDir()
	if err := vit.Save(dir, m, weights.F16); err != nil {
		t.Fatal(err)
	}
	return Source{"slow", dir}
}

// TestShortDeadlines: on an idle server a deadline that is too short is the request's own fault, whoever finds out, and
// the server stays ready to try.
func TestShortDeadlines(t *testing.T) {
	s, _ := start(t, Options{Threads: 1}, bundled)
	_, in := pixelRequest(t, s, bundled.Name, 1)
	for i := range 200 {
		_, err := s.Infer(t.Context(), &Request{Inputs: []Tensor{in}, Timeout: time.Duration(1+i) * 20 * time.Microsecond})
		wait(t, "the pass to end", func() bool { return s.pool.Busy() == 0 })
		if err != nil && asError(err).Status != http.StatusGatewayTimeout {
			t.Fatalf("a request with %v: %v", time.Duration(1+i)*20*time.Microsecond, err)
		}
	}
}

// TestFull asks for more than the queue holds: who is sent away is told when to come back, and the others are answered.
func TestFull(t *testing.T) {
	s, h := start(t, Options{Threads: 1, MaxQueue: 2}, slow(t))
	file := pictures(t, modeltest.Fashion(t), 1)[0]
	var clients sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range 12 {
		clients.Go(func() {
			resp, _ := call(t, "POST", h.URL+"/v1/classify", file)
			if wait, err := strconv.Atoi(resp.Header.Get("Retry-After")); resp.StatusCode == http.StatusServiceUnavailable &&
				(err != nil || wait < 1) {
				t.Errorf("Retry-After: %q", resp.Header.Get("Retry-After"))
			}
			mu.Lock()
			statuses[resp.StatusCode]++
			mu.Unlock()
		})
	}
	clients.Wait()
	if statuses[200] < 2 || statuses[503] == 0 || statuses[200]+statuses[503] != 12 || s.admitted.Load() != 0 {
		t.Errorf("statuses %v, %d images left over", statuses, s.admitted.Load())
	}
}

// TestHangUp: a client that goes away takes its images with it, out of the queue and out of the pass.
func TestHangUp(t *testing.T) {
	s, h := start(t, Options{Threads: 1}, slow(t))
	c := s.models.entries[0].versions[0].config
	input := Tensor{Name: "input", Datatype: FP32, Floats: make([]float32, 64*c.ImageLen()),
		Shape: []int64{64, int64(c.Channels), int64(c.Height), int64(c.Width)}}
	body, header := binaryRequest(t, map[string]any{}, input)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", h.URL+"/v2/models/slow/infer", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(header[0], header[1])
	go func() {
		for s.pool.Busy() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if resp, err := http.DefaultClient.Do(r); err == nil {
		t.Fatalf("answered with %s before the client hung up", resp.Status)
	}
	for end := time.Now().Add(5 * time.Second); s.admitted.Load() > 0 ||
		s.pool.Waiting() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d images are under way for nobody, %d wait", s.admitted.Load(), s.pool.Waiting())
		}
	}
	if stats := s.models.entries[0].versions[0].statistics(); stats.Inferences != 0 || stats.Times.Fail.Count != 1 {
		t.Errorf("statistics: %+v", stats)
	}
}
