package serve

import (
	"math"
	"net/http"
	"time"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/pool"
	"github.com/adavit/adavit/serve/load"
)

// admit lets a batch's images in if there is room for them and, under an objective, time. Each then has its deadline.
func (s *Server) admit(b *batch, timeout time.Duration) error {
	n := int64(len(b.images))
	if s.admitted.Add(n) > int64(s.options.MaxQueue) {
		s.admitted.Add(-n)
		s.metrics.shed(shedQueue, n)
		e := refuse(http.StatusServiceUnavailable, "%d images wait already; try again later, or with another server",
			s.options.MaxQueue)
		e.RetryAfter = max(s.control.Figures(time.Now()).Backlog, time.Second)
		return e
	}
	if retry, ok := s.control.Admit(time.Now(), timeout, b.items()...); !ok {
		s.admitted.Add(-n)
		if retry == 0 {
			s.metrics.shed(shedDeadline, n)
			return s.hopeless(n, timeout)
		}
		s.metrics.shed(shedLoad, n)
		return overloaded(retry)
	}
	return nil
}

// overloaded is the answer to images that cannot be done in time behind what waits.
func overloaded(retry time.Duration) *Error {
	e := refuse(http.StatusServiceUnavailable, "too much waits for this image to be done in time; try again later")
	e.RetryAfter = max(retry, time.Millisecond)
	return e
}

// hopeless is the answer to n images that could not be done in time on an idle server either.
func (s *Server) hopeless(n int64, timeout time.Duration) *Error {
	objective := s.options.Objective
	switch {
	case objective == 0 || timeout < objective:
		return refuse(http.StatusGatewayTimeout, "%v is less than %d images take even on an idle server; allow more time, "+
			"or ask for a smaller compute_budget", timeout, n)
	case n > 1:
		return refuse(http.StatusRequestEntityTooLarge, "%d images take longer than the server's objective of %v even if "+
			"nothing else waits; send fewer at a time", n, objective)
	}
	e := refuse(http.StatusServiceUnavailable, "an image takes longer at present than the server's objective of %v; "+
		"try again, and if it stays so, --slo should be larger", objective)
	e.RetryAfter = time.Second
	return e
}

// leave says that a batch's images are no longer under way.
func (s *Server) leave(b *batch) {
	s.control.Drop(b.items()...)
	s.admitted.Add(-int64(len(b.images)))
}

// items are a batch's images as control knows them.
func (b *batch) items() []*load.Item {
	items := make([]*load.Item, len(b.images))
	for i, img := range b.images {
		items[i] = &img.item
	}
	return items
}

// plan is the pool's, before each pass: what waits gets the budgets with which it is done in time, or is shed.
func (s *Server) plan(waiting []*pool.Job) {
	s.planned = s.planned[:0]
	for _, j := range waiting {
		if img, ok := j.Value.(*image); ok { // not those that models are tried with
			s.planned = append(s.planned, &img.item)
		}
	}
	s.control.Plan(time.Now(), s.planned)
	for _, j := range waiting {
		img, ok := j.Value.(*image)
		if !ok {
			continue
		}
		switch item := &img.item; {
		case item.Shed && s.own(item):
			j.Err = refuse(http.StatusGatewayTimeout, "the deadline would pass before there is an answer; allow more time, or "+
				"ask for a smaller compute_budget")
		case item.Shed && item.Retry <= 0:
			j.Err = s.hopeless(1, s.options.Objective)
		case item.Shed:
			j.Err = overloaded(item.Retry)
		case item.Share < item.Ask:
			j.Scheme, _, _ = infer.Budget{Mean: item.Share}.Limits(img.version.model)
			j.Work = item.Share * item.Dense
		default: // an earlier plan may have lowered it
			j.Scheme, j.Work = img.scheme, item.Ask*item.Dense
		}
	}
}

// own reports whether an image's deadline is its client's, and not the objective.
func (s *Server) own(item *load.Item) bool {
	return s.options.Objective == 0 || item.Deadline.Sub(item.Arrived) < s.options.Objective
}

// ran is the pool's, after each pass.
func (s *Server) ran(p pool.Pass) {
	items := make([]*load.Item, 0, len(p.Jobs))
	var v *version
	for _, j := range p.Jobs {
		if img, ok := j.Value.(*image); ok {
			items, v = append(items, &img.item), img.version
		}
	}
	took := p.Took
	if len(p.Jobs) < p.Images || p.Err != nil { // stopped images were cheaper than they would have been
		took = 0
	}
	if len(items) > 0 || len(p.Jobs) == 0 { // not after images that models are tried with
		s.control.Ran(time.Now(), took, p.Shared, items)
	}
	if v != nil {
		v.stats.ran()
		s.metrics.pass(v, p)
	}
}

// least is the smallest share of the dense token-blocks that load may lower an image to that is to have ask.
func (s *Server) least(v *version, ask float64) float64 {
	ladder := v.model.Ladder
	if len(ladder) == 0 {
		return ask
	}
	return min(ask, max(s.options.BudgetMin, ladder[0].Mean))
}

// Live is what GET /v1/load tells of the last seconds.
type Live struct {
	Time     time.Time `json:"time"`
	Uptime   float64   `json:"uptime_s"`
	Requests float64   `json:"requests_per_second"` // mean of the last two seconds, as is that of images
	Images   float64   `json:"images_per_second"`
	InFlight int64     `json:"in_flight"` // images, those that wait too
	Queue    int       `json:"queue"`     // images that wait
	Busy     float64   `json:"busy"`      // share of the threads at work, mean of the last second
	Budget   *float64  `json:"budget"`    // applied, mean of the last second
	P50      *float64  `json:"p50_ms"`    // from arrival to answer, images of the last two seconds
	P99      *float64  `json:"p99_ms"`
	SLO      float64   `json:"slo_ms"` // 0: none
	Degraded uint64    `json:"degraded"`
	Shed     uint64    `json:"shed"`
	Threads  int       `json:"threads"`
	Draining bool      `json:"draining"`
}

// live answers GET /v1/load.
func (s *Server) live(w http.ResponseWriter, _ *http.Request) error {
	now := time.Now()
	f := s.control.Figures(now)
	l := Live{Time: now.UTC(), Uptime: now.Sub(s.started).Seconds(), InFlight: s.admitted.Load(), Queue: s.pool.Waiting(),
		SLO: milliseconds(s.options.Objective), Degraded: f.Degraded, Shed: f.Refused + f.Shed, Threads: s.pool.Threads(),
		Draining: s.draining.Load()}
	l.Requests, l.Images, l.Busy = s.metrics.rates(now)
	if !math.IsNaN(f.Budget) {
		l.Budget = &f.Budget
	}
	if f.P99 > 0 {
		p50, p99 := milliseconds(f.P50), milliseconds(f.P99)
		l.P50, l.P99 = &p50, &p99
	}
	return writeJSON(w, http.StatusOK, l)
}
