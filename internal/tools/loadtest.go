package tools

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/internal/usage"
)

// LoadOptions say how LoadTest drives a server.
type LoadOptions struct {
	URL    string // of the server: http://HOST:PORT
	API    LoadAPI
	Model  string // as the server calls it; "": the first one of APIClassify, the only one of APIV2
	Images string // a picture file, a folder of them or a data set; for APIV2 also tensors, a .safetensors file
	Like   string // APIV2 with pictures: the model, as adavit.Open names it, that they are prepared for; "": Model
	Batch  int    // APIV2: images in a request
	Budget adavit.Budget
	Header http.Header // sent with every request

	Rates        []float64 // requests a second, or multiples of the capacity
	FindCapacity bool      // measure it first; so it is without Rates
	Arrivals     Arrivals
	Seed         uint64
	Duration     time.Duration // of each rate, and
	Warmup       time.Duration // before it, at the same rate
	SLO          time.Duration // what goodput is held against; 0: every success counts
	Timeout      time.Duration // of a request, from the time when it was to be sent
	Connections  int           // at most

	// Progress, which may be nil, is told how far a stage has come.
	Progress func(stage string, done, total time.Duration)

	// For tests that run in a time and on a network of their own; nil: the system's.
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	newAlarm func() alarm
}

// LoadAPI is what requests look like.
type LoadAPI string

// APIClassify sends picture files to /v1/classify, APIV2 binary tensors to /v2/models/MODEL/infer.
const (
	APIClassify LoadAPI = "classify"
	APIV2       LoadAPI = "v2"
)

// ParseLoadAPI reads the name of one.
func ParseLoadAPI(name string) (LoadAPI, error) {
	switch a := LoadAPI(name); a {
	case APIClassify, APIV2:
		return a, nil
	}
	return "", usage.Errorf("--api %q is not known, want %s or %s", name, APIClassify, APIV2)
}

// LoadResult is what LoadTest measured.
type LoadResult struct {
	URL         string       `json:"url"`
	API         LoadAPI      `json:"api"`
	Model       string       `json:"model"`
	Pictures    int          `json:"pictures"`        // different ones; with a batch, different batches of them
	Batch       int          `json:"batch,omitempty"` // images in a request, where they are more than one
	Budget      string       `json:"budget,omitempty"`
	Arrivals    Arrivals     `json:"arrivals"`
	Seed        uint64       `json:"seed"`
	Connections int          `json:"connections"` // at most
	SLO         float64      `json:"slo_ms"`      // 0: none
	Timeout     float64      `json:"timeout_ms"`
	Capacity    *Capacity    `json:"capacity,omitempty"`
	Rates       []RateResult `json:"rates"`
}

// Capacity is how many requests a second a server answers that is never without one.
type Capacity struct {
	Requests    float64 `json:"requests_per_second"`
	Connections int     `json:"connections"` // that kept it at work
}

// RateResult is what a server did at one rate. Requests are counted that were to be sent after the warm-up.
type RateResult struct {
	Rate       float64 `json:"rate"` // requests a second
	OfCapacity float64 `json:"of_capacity,omitempty"`
	Seconds    float64 `json:"seconds"`
	Scheduled  int     `json:"scheduled"` // requests that were to be sent
	Sent       int     `json:"sent"`      // the others found no free connection before their timeout

	// Answers counts what became of them: by status, and of those without one what happened (noAnswer, …).
	Answers  map[string]int    `json:"answers"`
	Messages map[string]string `json:"messages,omitempty"` // an error's first, by the same keys

	Success float64  `json:"success"`              // share of the scheduled ones that were answered with 200
	Goodput float64  `json:"goodput"`              // successes within the objective, a second
	Latency *Latency `json:"latency_ms,omitempty"` // nil: no request was taken on

	// OutsideP50 is the median of what successes took beyond the server's own figure for inference (Server-Timing), in
	// milliseconds: sending, waiting, reading and writing.
	OutsideP50 float64 `json:"outside_p50_ms,omitempty"`

	// ShedP99 is how long those waited that were turned away with 503 or 429, in milliseconds.
	ShedP99 float64 `json:"shed_p99_ms,omitempty"`

	Budget  float64        `json:"compute_budget_applied,omitempty"` // mean share of the dense work, of those that said it
	Reasons map[string]int `json:"budget_reasons,omitempty"`

	Lag Lag `json:"generator"`

	Warnings []string `json:"warnings,omitempty"`
}

// Latency is how long requests took that the server took on, in milliseconds, from the time when they were to be sent
// until their answer was read: successes, and those whose answer did not come in time (504, or none before the
// timeout), which count as long as they were waited for.
type Latency struct {
	Mean    float64 `json:"mean"`
	P50     float64 `json:"p50"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99"`
	P99Low  float64 `json:"p99_low"` // 95 % interval, if requests were independent
	P99High float64 `json:"p99_high"`
	P999    float64 `json:"p999"`
	Max     float64 `json:"max"`
}

// Lag is how well the generator kept its schedule.
type Lag struct {
	P50    float64 `json:"lag_p50_ms"` // how late requests were sent that had a free connection
	P99    float64 `json:"lag_p99_ms"`
	Max    float64 `json:"lag_max_ms"`
	Waited int     `json:"waited"`        // requests for which no connection was free when they were to be sent
	CPU    float64 `json:"cpu,omitempty"` // cores that the generator was at work on; 0 if not known
}

// Bounds of a load test; more is a slip of the finger.
const (
	maxRate        = 1e6
	maxLoadTime    = 24 * time.Hour
	maxConnections = 1 << 16
)

// defaultMultiples are the rates where none are given.
var defaultMultiples = []float64{0.5, 0.8, 1}

// check reports what is wrong with the options, and settles what they leave open.
func (o *LoadOptions) check() error {
	if !strings.Contains(o.URL, "://") {
		o.URL = "http://" + o.URL
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" {
		return usage.Errorf("--url is %q, want the server's address, such as http://localhost:8080", o.URL)
	}
	o.URL = strings.TrimRight(o.URL, "/")
	if o.Batch = max(o.Batch, 1); o.Batch > maxBatch || o.Batch > 1 && o.API != APIV2 {
		return usage.Errorf("--batch is %d, want 1 to %d, and 1 without --api %s", o.Batch, maxBatch, APIV2)
	}
	if len(o.Rates) == 0 {
		o.Rates, o.FindCapacity = defaultMultiples, true
	}
	for _, r := range o.Rates {
		if !(r > 0 && r <= maxRate) {
			return usage.Errorf("--rate holds %v, want numbers above 0 and at most %d", r, int(maxRate))
		}
	}
	for _, d := range []struct {
		flag      string
		value     time.Duration
		mayBeZero bool
	}{{"duration", o.Duration, false}, {"warmup", o.Warmup, true}, {"slo", o.SLO, true}, {"timeout", o.Timeout, false}} {
		if d.value < 0 || d.value > maxLoadTime || d.value == 0 && !d.mayBeZero {
			return usage.Errorf("--%s is %v, want a time above 0 and at most %v, such as 10s", d.flag, d.value, maxLoadTime)
		}
	}
	if o.dial == nil {
		o.dial = (&net.Dialer{Timeout: o.Timeout}).DialContext
	}
	if o.newAlarm == nil {
		o.newAlarm = newAlarm
	}
	if o.Connections < 1 || o.Connections > maxConnections {
		return usage.Errorf("--connections is %d, want 1 to %d", o.Connections, maxConnections)
	}
	return nil
}

// LoadTest sends requests to a server by a schedule that waits for no answer, as many people do who know nothing of
// each other (an open loop), at one rate after the other. Each request's latency counts from the time when it was to be
// sent: a server that stops for a second is charged with all that would have arrived meanwhile.
//
// Its figures agree with those of vegeta v12 (github.com/tsenart/vegeta): see loadtest_test.go.
func LoadTest(ctx context.Context, o LoadOptions) (LoadResult, error) {
	if err := o.check(); err != nil {
		return LoadResult{}, err
	}
	client, err := newLoadClient(ctx, &o)
	if err != nil {
		return LoadResult{}, err
	}
	defer client.close()
	r := LoadResult{URL: o.URL, API: o.API, Model: client.model, Pictures: len(client.bodies),
		Budget:   budgetText(o.Budget),
		Arrivals: o.Arrivals, Seed: o.Seed, Connections: o.Connections, SLO: o.SLO.Seconds() * 1000,
		Timeout: o.Timeout.Seconds() * 1000}
	if o.Batch > 1 {
		r.Batch = o.Batch
	}
	if o.FindCapacity {
		if r.Capacity, err = findCapacity(ctx, client, o); err != nil {
			return r, err
		}
	}
	for i, rate := range o.Rates {
		of := 0.0
		if r.Capacity != nil {
			of, rate = rate, rate*r.Capacity.Requests
		}
		l := &openLoop{client: client, o: o, rate: rate, schedule: newSchedule(o.Arrivals, rate, o.Seed, uint64(i))}
		stage := fmt.Sprintf("%s requests/s", shortNumber(rate))
		if err := o.watch(stage, o.Warmup+o.Duration, func() error { return l.run(ctx) }); err != nil {
			return r, err
		}
		result := l.result()
		result.OfCapacity = of
		r.Rates = append(r.Rates, result)
	}
	return r, nil
}

// watch calls f and tells how far it has come.
func (o *LoadOptions) watch(stage string, total time.Duration, f func() error) error {
	if o.Progress == nil {
		return f()
	}
	begin, stop, stopped := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			o.Progress(stage, min(time.Since(begin), total), total)
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	err := f()
	close(stop)
	<-stopped
	return err
}
