package load

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Controller decides for one pool of workers. It is safe for concurrent use. Times that are passed in should not go
// backward; one that does counts as the latest so far.
type Controller struct {
	options   Options
	objective float64 // seconds, 0: none

	mu      sync.Mutex
	begin   time.Time // the first call; seconds count from it
	now     float64   // the latest call
	turn    float64   // when the current period ends
	window  window
	trim    trim
	planner planner
	plans   uint64
	running []running // passes, at most one for each worker
	coming  []*Item   // admitted, and not seen by Plan yet
	planned []planned // by the last Plan, in the order of deadlines
	last    float64   // when the last of them ends
	usual   float64   // what one of them takes at its least budget, on average; seconds
	figures Figures   // its totals alone
}

// running is a pass at work. One that is planned may have no images in the end, when all of their clients hang up, and
// then Ran never comes: it is forgotten when it is far too late, or when there would be more passes than workers.
type running struct {
	plan       uint64
	begin, end float64 // the end as predicted
}

// planned says when the work up to an image with this deadline is done, all budgets at their least; seconds.
type planned struct{ deadline, done float64 }

// New returns a Controller. An error wraps usage.Err.
func New(o Options) (*Controller, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	c := &Controller{options: o, objective: o.Objective.Seconds(), trim: trim{theta: trimStart, room: roomMost}}
	c.planner.free = make([]float64, o.Workers)
	c.planner.busy = make([]float64, o.Workers)
	return c, nil
}

// NewClass adds a model, of whose images one pass takes at most pass. A worker takes about block seconds for a
// token-block of it; 0 if nobody knows, and then everything is let in until the first passes have run.
func (c *Controller) NewClass(pass int, block float64) *Class {
	start := pace{block: block, fixed: fixedStart}
	if !(block > 0) || math.IsInf(block, 1) {
		start.block = 0
	}
	return &Class{pass: max(pass, 1), own: start, shared: pace{fixed: fixedStart}}
}

// Admit decides at the arrival of a request with these images, which must be done timeout from now (0: whenever), or
// sooner by the objective. It sets their Arrived and Deadline. If it returns true, every image must either be seen by
// Plan or be given to Drop. If not, retry is how long the backlog of this moment takes at the least budgets: who comes
// again after that time is let in, unless others came meanwhile. 0 says that waiting does not help, since the request's
// own time is too short even on an idle server.
func (c *Controller) Admit(now time.Time, timeout time.Duration, items ...*Item) (retry time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(now)
	if len(items) == 0 {
		return 0, true
	}
	allowed := c.options.Objective
	if timeout > 0 && (allowed == 0 || timeout < allowed) {
		allowed = timeout
	}
	own, longest, pass := 0.0, 0.0, 1
	for _, item := range items {
		item.Arrived, item.Deadline, item.plan, item.Shed = now, time.Time{}, 0, false
		if allowed > 0 {
			item.Deadline = now.Add(allowed)
		}
		s := c.unprepared(item)
		own, longest, pass = own+s, max(longest, s), max(pass, item.Class.pass)
	}
	c.running = slices.DeleteFunc(c.running, func(r running) bool { return c.now > r.end+10*(r.end-r.begin)+1 })
	idle := len(c.running) == 0 && len(c.coming) == 0 // then even a hopeless estimate is worth a pass, to learn from
	if c.options.Mode != Queue && allowed > 0 && !idle {
		most, workers := c.trim.room*allowed.Seconds(), float64(c.options.Workers)
		alone := longest + (own-longest)/workers
		// An image ends with its whole pass, which others like those that wait may join until it begins.
		mates := min(pass, (len(c.planned)+len(c.coming)+len(items))/c.options.Workers) - 1
		if c.ahead(c.seconds(items[0].Deadline))+alone+c.usual*float64(max(mates, 0)) > most {
			c.figures.Refused += uint64(len(items))
			c.trim.floor = true
			if alone > most {
				return 0, false
			}
			return max(c.drained(), time.Millisecond), false
		}
	}
	c.coming = append(c.coming, items...)
	return 0, true
}

// ahead returns how long it takes until the work with deadlines up to this one is done, all budgets at their least, in
// seconds.
func (c *Controller) ahead(deadline float64) float64 {
	deadline += 1e-6 // of rounding
	k, _ := slices.BinarySearchFunc(c.planned, deadline, func(p planned, d float64) int {
		if p.deadline <= d {
			return -1
		}
		return 1
	})
	until, work := 0.0, 0.0
	if k > 0 {
		until = max(until, c.planned[k-1].done-c.now)
	} else {
		for _, r := range c.running {
			until += max(r.end-c.now, 0) / float64(c.options.Workers)
		}
	}
	for _, item := range c.coming {
		if !item.Deadline.IsZero() && c.seconds(item.Deadline) <= deadline {
			work += c.unprepared(item)
		}
	}
	return until + work/float64(c.options.Workers)
}

// drained returns how long it takes until everything is done, all budgets at their least.
func (c *Controller) drained() time.Duration {
	until, work := max(0, c.last-c.now), 0.0
	for _, r := range c.running {
		until = max(until, r.end-c.now)
	}
	for _, item := range c.coming {
		work += c.unprepared(item)
	}
	return duration(until + work/float64(c.options.Workers))
}

// unprepared returns what an image takes that has not been planned, in seconds.
func (c *Controller) unprepared(item *Item) float64 { return c.least(item) + item.Prepare.Seconds() }

// least returns what an image takes a worker at the smallest budget that this mode gives it, in seconds.
func (c *Controller) least(item *Item) float64 {
	if c.options.Mode == Degrade {
		return item.Class.own.seconds(item.Dense, item.Least)
	}
	return item.Class.own.seconds(item.Dense, item.Ask)
}

// Drop says that admitted images will not come to Plan after all, or that nobody cares whether they did. It does
// nothing for images that are not expected any more, so that a caller can defer it.
func (c *Controller) Drop(items ...*Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, item := range items {
		if k := slices.Index(c.coming, item); k >= 0 {
			c.coming = slices.Delete(c.coming, k, k+1)
		}
	}
}

// Ran says that a pass has ended: took is its whole time, or 0 if the pass says nothing of the speed because some of
// its images were stopped; shared, that all workers shared its images. Give it the images that have their answers: none
// if nobody waited for one any more.
func (c *Controller) Ran(now time.Time, took time.Duration, shared bool, items []*Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(now)
	if len(items) == 0 { // which pass it was cannot be told, so it was the one that began first
		if len(c.running) > 0 {
			c.running = slices.Delete(c.running, 0, 1)
		}
		return
	}
	c.running = slices.DeleteFunc(c.running, func(r running) bool { return r.plan == items[0].plan })
	work, dense := 0.0, 0.0
	for _, item := range items {
		work += item.Share * item.Dense
		dense += item.Dense
		if item.Share < item.Ask {
			c.figures.Degraded++
		}
		c.figures.Answered++
		c.window.add(now.Sub(item.Arrived), item.Share)
	}
	if p := &items[0].Class.own; shared {
		items[0].Class.shared.observe(took, work, dense)
	} else {
		p.observe(took, work, dense)
	}
}

// Figures are what a server shows of itself.
type Figures struct {
	P50, P99 time.Duration // from arrival to answer, images of the last 2 s; 0 if there were none
	Budget   float64       // mean share of the images of the last second; NaN if there were none
	Trim     float64       // the share of its time that an image may wait before budgets are lowered
	Backlog  time.Duration // until all that is admitted is done, budgets at their least

	Answered, Degraded uint64 // images since the start; Degraded: of these, with less than they asked for
	Refused, Shed      uint64 // images since the start, by Admit and by Plan
}

// Figures returns those of this moment.
func (c *Controller) Figures(now time.Time) Figures {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(now)
	f := c.figures
	f.P50, f.P99 = duration(c.window.percentile(0.5)), duration(c.window.percentile(quantile))
	f.Trim, f.Budget = c.trim.theta, math.NaN()
	if share, ok := c.window.budget(); ok {
		f.Budget = share
	}
	f.Backlog = c.drained()
	return f
}

// advance takes the time of a call, and ends the periods that are over.
func (c *Controller) advance(now time.Time) {
	if c.begin.IsZero() {
		c.begin, c.turn = now, period.Seconds()
	}
	c.now = max(c.now, c.seconds(now))
	if idle := c.now - c.turn; idle > 2*slots*period.Seconds() { // nothing is left of the window
		c.trim.room = roomMost
		c.turn += math.Floor(idle/period.Seconds()-slots) * period.Seconds()
	}
	for ; c.now >= c.turn; c.turn += period.Seconds() {
		if n := c.window.images(); c.objective > 0 && (n == 0 || n >= fewest) {
			c.trim.step(c.window.percentile(quantile), c.objective)
		}
		c.window.next()
	}
}

// seconds returns a time in seconds from the first call.
func (c *Controller) seconds(t time.Time) float64 { return t.Sub(c.begin).Seconds() }

// duration of seconds.
func duration(seconds float64) time.Duration {
	return time.Duration(min(seconds, 1e6) * float64(time.Second))
}
