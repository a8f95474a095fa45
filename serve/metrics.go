package serve

import (
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/adavit/adavit/internal/pool"
)

// metrics are what GET /metrics tells. Times are in seconds.
type metrics struct {
	registry *prometheus.Registry
	handler  http.Handler

	answered  *prometheus.CounterVec   // by path, method, status
	latency   *prometheus.HistogramVec // by path
	decode    prometheus.Histogram
	queue     *prometheus.HistogramVec // by model, as are the others
	inference *prometheus.HistogramVec
	budget    *prometheus.HistogramVec
	images    *prometheus.CounterVec // by model and reason of the budget
	blocks    *prometheus.CounterVec
	macs      *prometheus.CounterVec
	passes    *prometheus.CounterVec
	refused   *prometheus.CounterVec // by reason

	recent recent
}

// Reasons why an image is sent away, in metrics; what Plan sheds counts as load.
const (
	shedQueue    = "queue"
	shedLoad     = "load"
	shedDeadline = "deadline" // nearer than the image takes on an idle server
	shedMemory   = "memory"   // of bodies; how many images they have is not known
)

func newMetrics(s *Server) *metrics {
	seconds := prometheus.ExponentialBuckets(0.0005, 2, 16) // to 16 s
	model := []string{"model", "version"}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	shares := []float64{0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		answered: counter("adavit_requests_total", "Requests that were answered.", "path", "method", "status"),
		latency:  histogram("adavit_request_seconds", "Time from a request's header to its answer.", seconds, "path"),
		decode: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "adavit_decode_seconds",
			Help: "Time to decode and resize a picture.", Buckets: seconds}),
		queue:     histogram("adavit_queue_seconds", "Time that an image waited for its pass.", seconds, model...),
		inference: histogram("adavit_inference_seconds", "Time of the pass that an image was in.", seconds, model...),
		budget: histogram("adavit_budget_applied_ratio",
			"Share of the dense model's token-blocks that an image's budget was.", shares, model...),
		images: counter("adavit_images_total", "Images that were answered, by the reason for their budget.",
			append(model, "reason")...),
		blocks:  counter("adavit_token_blocks_total", "Token-blocks computed: one token in one block.", model...),
		macs:    counter("adavit_macs_total", "Multiply-accumulates computed.", model...),
		passes:  counter("adavit_passes_total", "Passes through the engine.", model...),
		refused: counter("adavit_images_refused_total", "Images that were sent away before they waited.", "reason"),
	}
	for _, reason := range []string{shedQueue, shedLoad, shedDeadline, shedMemory} {
		m.refused.WithLabelValues(reason) // a rate over what begins at 0 sees the first one
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "adavit_build_info", Help: "Always 1."},
		[]string{"version", "go_version"})
	build.WithLabelValues(s.options.Version, runtime.Version()).Set(1)
	m.registry.MustRegister(m.answered, m.latency, m.decode, m.queue, m.inference, m.budget, m.images, m.blocks, m.macs,
		m.passes, m.refused, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("adavit_queue_images", "Images that wait.", func() float64 { return float64(s.pool.Waiting()) }),
		gauge("adavit_in_flight_images", "Images between arrival and answer.",
			func() float64 { return float64(s.admitted.Load()) }),
		gauge("adavit_backlog_seconds", "Time until all that is admitted is done, at the least budgets.",
			func() float64 { return s.control.Figures(time.Now()).Backlog.Seconds() }),
		gauge("adavit_threads", "Threads that compute.", func() float64 { return float64(s.pool.Threads()) }),
		gauge("adavit_threads_busy", "Threads at work.", func() float64 { return float64(s.pool.Busy()) }),
		gauge("adavit_body_bytes", "Bytes that bodies of requests hold.",
			func() float64 { return float64(s.memory.used.Load()) }),
		gauge("adavit_objective_seconds", "What 99 of 100 images are to be answered in; 0: nothing is aimed at.",
			func() float64 { return s.options.Objective.Seconds() }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "adavit_images_shed_total",
			Help: "Images that waited and were sent away, since they could not be done in time."},
			func() float64 { return float64(s.control.Figures(time.Now()).Shed) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "adavit_images_degraded_total",
			Help: "Images that were answered with a smaller budget than they were to have."},
			func() float64 { return float64(s.control.Figures(time.Now()).Degraded) }),
		modelBytes{s})
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	m.recent.threads = s.pool.Threads()
	return m
}

// serve answers GET /metrics.
func (m *metrics) serve(w http.ResponseWriter, r *http.Request) error {
	m.handler.ServeHTTP(w, r)
	return nil
}

// requests counts an answer.
func (m *metrics) requests(path, method string, status int, took time.Duration) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions:
	default:
		method = "other" // a client could make up any number of them
	}
	m.answered.WithLabelValues(path, method, strconv.Itoa(status)).Inc()
	m.latency.WithLabelValues(path).Observe(took.Seconds())
	m.recent.add(time.Now(), 1, 0, 0)
}

// shed counts images that were sent away at the door.
func (m *metrics) shed(reason string, images int64) {
	m.refused.WithLabelValues(reason).Add(float64(images))
}

// pass counts a pass and its images.
func (m *metrics) pass(v *version, p pool.Pass) {
	name, number := v.name, strconv.Itoa(v.number)
	queue, inference := m.queue.WithLabelValues(name, number), m.inference.WithLabelValues(name, number)
	budget, macs := m.budget.WithLabelValues(name, number), 0.0
	for _, j := range p.Jobs {
		img, ok := j.Value.(*image)
		if !ok {
			continue
		}
		queue.Observe(j.Queued.Seconds())
		inference.Observe(j.Ran.Seconds())
		budget.Observe(img.item.Share)
		macs += float64(v.config.MACs(j.Active))
		m.images.WithLabelValues(name, number, img.item.Reason.String()).Inc()
	}
	m.macs.WithLabelValues(name, number).Add(macs)
	m.blocks.WithLabelValues(name, number).Add(float64(p.Blocks))
	m.passes.WithLabelValues(name, number).Inc()
	work := p.Took
	if p.Shared {
		work *= time.Duration(m.recent.threads)
	}
	m.recent.add(time.Now(), 0, len(p.Jobs), work)
}

// modelBytes collects the memory of each model.
type modelBytes struct{ server *Server }

var modelBytesDesc = prometheus.NewDesc("adavit_model_bytes", "Memory of a model's weights and engines.",
	[]string{"model", "version", "precision"}, nil)

func (modelBytes) Describe(c chan<- *prometheus.Desc) { c <- modelBytesDesc }

func (b modelBytes) Collect(c chan<- prometheus.Metric) {
	r := b.server.models
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, e := range r.entries {
		for _, v := range e.versions {
			c <- prometheus.MustNewConstMetric(modelBytesDesc, prometheus.GaugeValue, float64(v.engine.Bytes()), v.name,
				strconv.Itoa(v.number), string(v.engine.Precision()))
		}
	}
}

// recent adds up what happened in each of the last seconds, for GET /v1/load.
type recent struct {
	threads int
	mu      sync.Mutex
	seconds [4]second
}

type second struct {
	at               int64
	requests, images int
	work             time.Duration // of threads
}

// add counts into the second of now.
func (r *recent) add(now time.Time, requests, images int, work time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := now.Unix()
	s := &r.seconds[at%int64(len(r.seconds))]
	if s.at != at {
		*s = second{at: at}
	}
	s.requests, s.images, s.work = s.requests+requests, s.images+images, s.work+work
}

// rates returns requests and images a second, of the last two whole seconds, and the share of the threads that were at
// work in the last of them.
func (m *metrics) rates(now time.Time) (requests, images, busy float64) {
	r := &m.recent
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.seconds {
		if ago := now.Unix() - s.at; ago == 1 || ago == 2 {
			requests, images = requests+float64(s.requests)/2, images+float64(s.images)/2
			if ago == 1 {
				busy = min(1, s.work.Seconds()/float64(r.threads))
			}
		}
	}
	return requests, images, busy
}
