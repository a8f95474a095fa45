package tools

import (
	"context"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// openLoop sends requests at one rate, whatever the server does.
type openLoop struct {
	client   *loadClient
	o        LoadOptions
	rate     float64
	schedule *schedule

	begin   time.Time
	pending atomic.Int64 // requests that are due and not yet done with
	tally   tally
	cpu     time.Duration // computed in
	took    time.Duration
}

// arrival is a request that is due.
type arrival struct {
	n      int
	at     time.Duration // from the beginning
	waited bool          // all connections were busy then
}

// run sends requests until the time is over and waits for their answers.
//
// Requests are sent by as many workers as there were ever requests under way at once, but no more than connections. A
// request that finds none free waits in due, which has room for all that can wait within the timeout.
func (l *openLoop) run(ctx context.Context) error {
	const mostRoom = 1 << 20
	room := min(l.rate*l.o.Timeout.Seconds()*1.5+1000, mostRoom)
	due := make(chan arrival, int(room))
	alarm := l.o.newAlarm()
	defer alarm.close()
	var workers sync.WaitGroup
	l.begin = time.Now()
	cpu, end := cpuTime(), l.o.Warmup+l.o.Duration
	var err error
	for n, started := 0, 0; ; n++ {
		a := arrival{n: n, at: l.schedule.next()}
		if a.at >= end {
			break
		}
		if err = alarm.wait(ctx, l.begin.Add(a.at)); err != nil {
			break
		}
		pending := int(l.pending.Add(1))
		if pending > started && started < l.o.Connections {
			started++
			workers.Go(func() { l.work(ctx, due) })
		}
		a.waited = pending > l.o.Connections
		select {
		case due <- a:
		default: // only with more than mostRoom under way
			l.finish(a, outcome{kind: answerUnsent}, l.o.Timeout, 0)
		}
	}
	l.cpu, l.took = cpuTime()-cpu, time.Since(l.begin)
	close(due)
	workers.Wait()
	return err
}

// work sends requests as they are due.
func (l *openLoop) work(ctx context.Context, due <-chan arrival) {
	var w loadWorker
	for a := range due {
		at := l.begin.Add(a.at)
		sent, deadline := time.Now(), at.Add(l.o.Timeout)
		if !sent.Before(deadline) {
			l.finish(a, outcome{kind: answerUnsent, message: "no free connection in time"}, l.o.Timeout, 0)
			continue
		}
		out := w.send(ctx, l.client, a.n, deadline)
		l.finish(a, out, time.Since(at), sent.Sub(at))
	}
}

// finish books a request.
func (l *openLoop) finish(a arrival, out outcome, latency, lag time.Duration) {
	l.pending.Add(-1)
	if a.at < l.o.Warmup || out.kind == answerNone {
		return
	}
	if a.waited {
		lag = -1
	}
	l.tally.add(out, latency, lag)
	if out.kind == statusOK && (l.o.SLO == 0 || latency <= l.o.SLO) {
		l.tally.good.Add(1)
	}
}

// tally adds up what became of requests.
type tally struct {
	mu       sync.Mutex
	answers  map[string]int
	messages map[string]string
	latency  histogram // of those that were taken on
	shed     histogram // of those that were turned away
	lag      histogram // of those that had a free connection
	outside  histogram // latency of successes beyond the server's figure for inference
	waited   int
	budget   float64 // sum over those that said it
	reasons  map[string]int

	good atomic.Int64
}

// add books a request; a negative lag is not the generator's.
func (t *tally) add(out outcome, latency, lag time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.answers == nil {
		t.answers, t.messages, t.reasons = map[string]int{}, map[string]string{}, map[string]int{}
	}
	t.answers[out.kind]++
	if _, known := t.messages[out.kind]; !known && out.message != "" {
		t.messages[out.kind] = out.message
	}
	switch out.kind {
	case statusOK, "504", answerTimeout, answerUnsent:
		t.latency.add(latency)
	case "503", "429":
		t.shed.add(latency)
	}
	switch {
	case out.kind == answerUnsent:
		t.waited++
	case lag < 0:
		t.waited++
	default:
		t.lag.add(lag)
	}
	if out.infer > 0 {
		t.outside.add(max(latency-out.infer, 0))
	}
	if out.budget != nil {
		t.budget += *out.budget
		t.reasons[out.reason]++
	}
}

// text says in a line what became of the requests.
func (t *tally) text() string {
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(t.answers)) {
		word := fmt.Sprintf("%s: %d", kind, t.answers[kind])
		if m := t.messages[kind]; m != "" {
			word += " (" + m + ")"
		}
		words = append(words, word)
	}
	if len(words) == 0 {
		return "no answer came"
	}
	return strings.Join(words, "; ")
}

// result sums up.
func (l *openLoop) result() RateResult {
	t := &l.tally
	seconds := l.o.Duration.Seconds()
	r := RateResult{Rate: l.rate, Seconds: seconds, Answers: t.answers, Messages: t.messages,
		Goodput: float64(t.good.Load()) / seconds}
	for _, n := range t.answers {
		r.Scheduled += n
	}
	r.Sent = r.Scheduled - t.answers[answerUnsent]
	if r.Scheduled > 0 {
		r.Success = float64(t.answers[statusOK]) / float64(r.Scheduled)
	}
	if h := &t.latency; h.n > 0 {
		low, high := h.interval(0.99)
		r.Latency = &Latency{h.mean(), h.quantile(0.5), h.quantile(0.9), h.quantile(0.99), low, high, h.quantile(0.999),
			h.max.Seconds() * 1000}
	}
	if t.outside.n > 0 {
		r.OutsideP50 = t.outside.quantile(0.5)
	}
	if t.shed.n > 0 {
		r.ShedP99 = t.shed.quantile(0.99)
	}
	told := 0
	for _, n := range t.reasons {
		told += n
	}
	if told > 0 {
		r.Budget, r.Reasons = t.budget/float64(told), t.reasons
	}
	r.Lag.Waited = t.waited
	if h := &t.lag; h.n > 0 {
		r.Lag.P50, r.Lag.P99, r.Lag.Max = h.quantile(0.5), h.quantile(0.99), h.max.Seconds()*1000
	}
	if l.took > 0 {
		r.Lag.CPU = l.cpu.Seconds() / l.took.Seconds()
	}
	r.warn(l.o.Connections)
	return r
}

// When the generator is suspected of having been the bottleneck.
const (
	lateFloor  = 2.0  // milliseconds that a request may be sent late
	lateShare  = 0.1  // of the median latency
	busyCPU    = 0.85 // of the cores that it may use
	waitedMost = 0.001
)

// warn says what makes the figures doubtful.
func (r *RateResult) warn(connections int) {
	add := func(format string, args ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...)) }
	allowed := lateFloor
	if r.Latency != nil {
		allowed = math.Max(lateFloor, lateShare*r.Latency.P50)
	}
	if r.Lag.P99 > allowed {
		add("the generator sent late, by %.3g ms at the 99th percentile, which is part of every latency: give it a core of "+
			"its own (taskset), or ask for less", r.Lag.P99)
	}
	if cores := float64(runtime.GOMAXPROCS(0)); r.Lag.CPU > busyCPU*cores {
		add("the generator was at work for %.0f %% of its processor time: it may be the bottleneck", 100*r.Lag.CPU/cores)
	}
	if float64(r.Lag.Waited) > waitedMost*float64(r.Scheduled) {
		add("%d requests waited in the generator, since all %d connections were busy: their wait counts, but the server "+
			"did not see them; --connections gives more", r.Lag.Waited, connections)
	}
	if n := r.Answers[answerRefused] + r.Answers[answerBroken] + r.Answers[answerGarbled]; n > 0 {
		add("%d requests got no proper answer, and are in no latency", n)
	}
}
