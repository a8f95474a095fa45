package load

import (
	"math"
	"slices"
	"time"
)

// Plan decides before each pass. waiting are all images in the queue, in the order in which they will run: the earliest
// deadline first. It sets each one's Share, Reason, Shed and Retry. The first images that are not shed make the pass
// that is run now; what it says of the others is planned anew before theirs. It takes time in proportion to the number
// of images, and no memory.
func (c *Controller) Plan(now time.Time, waiting []*Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(now)
	c.plans++
	for _, item := range waiting {
		item.plan = c.plans
	}
	c.coming = slices.DeleteFunc(c.coming, func(item *Item) bool {
		return item.plan > 0 || !item.Deadline.IsZero() && c.seconds(item.Deadline) < c.now
	})
	together := c.workers(len(waiting))
	c.fill(waiting, together)
	p := &c.planner
	p.shed(len(c.running) == 0)
	c.planned = c.planned[:0]
	for i, done := range p.done {
		c.planned = append(c.planned, planned{deadline: c.now + p.queue[i].due, done: c.now + done})
	}
	c.last = c.now + p.last
	if n := len(p.queue); n > 0 {
		c.usual = p.total(0) / float64(n)
	}
	if len(p.queue) < len(waiting) {
		c.figures.Shed += uint64(len(waiting) - len(p.queue))
		c.trim.floor = true
		retry := c.drained()
		for _, item := range waiting {
			if item.Shed {
				item.Retry = retry
			}
		}
	}
	if len(p.queue) == 0 {
		return
	}
	ceiling := 1.0
	if c.options.Mode == Degrade {
		var floor bool
		ceiling, floor = p.ceiling()
		c.trim.floor = c.trim.floor || floor
	}
	for i := range p.queue {
		w := &p.queue[i]
		w.item.Share = w.share(ceiling)
		w.item.Reason = c.reason(w.item)
		c.trim.lowered = c.trim.lowered || w.item.Share < w.item.Ask
	}
	c.running = append(c.running, running{plan: c.plans, begin: c.now, end: c.now + p.firstPass(ceiling)})
}

// workers tells the planner when each is free, this one now, and reports whether all will share the waiting images.
func (c *Controller) workers(waiting int) (together bool) {
	p := &c.planner
	if n := len(c.running) - (c.options.Workers - 1); n > 0 { // passes that were planned and had no images in the end
		c.running = slices.Delete(c.running, 0, n)
	}
	team := c.options.Workers
	if c.options.Team > 0 {
		team = min(team, c.options.Team)
	}
	if team > 1 && waiting < team && len(c.running) == 0 {
		p.busy, p.free = p.busy[:1], p.free[:1]
		p.busy[0] = 0
		return true
	}
	p.busy, p.free = p.busy[:c.options.Workers], p.free[:c.options.Workers]
	clear(p.busy)
	for i, r := range c.running {
		// One that is overdue will take as long again as it is late.
		p.busy[i] = math.Abs(r.end - c.now)
	}
	return false
}

// fill gives the planner its queue.
func (c *Controller) fill(items []*Item, together bool) {
	p := &c.planner
	p.queue = p.queue[:0]
	for _, item := range items {
		speed, pass := &item.Class.own, item.Class.pass
		if together && item.Class.shared.seen > 0 {
			speed, pass = &item.Class.shared, len(items)
		}
		w := waiting{
			item: item, dense: speed.block * item.Dense, fixed: speed.fixed, pass: pass,
			least: min(item.Least, item.Ask), ask: item.Ask,
			begin: math.Inf(1), end: math.Inf(1), due: math.Inf(1),
		}
		if c.options.Mode != Degrade {
			w.least = w.ask
		}
		if !item.Deadline.IsZero() && c.options.Mode != Queue {
			w.due = c.seconds(item.Deadline) - c.now
			allowed := item.Deadline.Sub(item.Arrived).Seconds()
			w.begin, w.end = c.trim.begin()*allowed, w.due-reserve*allowed
		}
		item.Shed, item.Retry = false, 0
		p.queue = append(p.queue, w)
	}
}

// reason says why an image has its share.
func (c *Controller) reason(item *Item) Reason {
	switch {
	case item.Share < item.Ask:
		fastest := item.Class.own.seconds(item.Dense, item.Ask)
		if s := &item.Class.shared; s.seen > 0 {
			fastest = min(fastest, s.seconds(item.Dense, item.Ask))
		}
		if !item.Deadline.IsZero() && item.Deadline.Sub(item.Arrived).Seconds() < fastest {
			return Deadline
		}
		return Load
	case item.Client:
		return Client
	}
	return Default
}
