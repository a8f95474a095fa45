package load

// waiting is an image of the queue as a planner sees it. Times are seconds, from now on.
type waiting struct {
	item       *Item
	dense      float64 // for the dense image, without what an image costs besides
	fixed      float64 // what it costs besides, as a share of dense
	least, ask float64 // shares
	begin, end float64 // when its pass should begin and end by its budget
	due        float64 // when it must end
	pass       int     // images in a pass of its class
}

// share returns its budget under a common ceiling.
func (w *waiting) share(ceiling float64) float64 { return max(w.least, min(w.ask, ceiling)) }

// seconds returns what it takes a worker.
func (w *waiting) seconds(ceiling float64) float64 { return w.dense * (w.share(ceiling) + w.fixed) }

// planner plays a queue forward as a pool runs it: whoever is free first takes from the front 1/n of the work that
// waits, but no more images than make a pass, and all images of a pass end together. (The pool gathers images of one
// model; here models share passes, which comes to the same work in the same order.)
type planner struct {
	queue []waiting // in the order of deadlines
	busy  []float64 // [workers], when each is free, seconds from now
	free  []float64 // [workers], the same further on
	// By shed, of the images that it kept: when the work up to each is done if all workers are always busy, and when
	// the last one ends.
	done []float64
	last float64
}

// first returns the worker that is free first.
func (p *planner) first() int {
	k := 0
	for i, t := range p.free {
		if t < p.free[k] {
			k = i
		}
	}
	return k
}

// total returns the work of what waits, in seconds of a worker.
func (p *planner) total(ceiling float64) (sum float64) {
	for i := range p.queue {
		sum += p.queue[i].seconds(ceiling)
	}
	return sum
}

// take returns the end of the pass that begins with image i, and its seconds.
func (p *planner) take(i int, total, ceiling float64) (end int, took float64) {
	quota, most := total/float64(len(p.free)), min(len(p.queue), i+p.queue[i].pass)
	for end = i; end < most && (end == i || took < quota); end++ {
		took += p.queue[end].seconds(ceiling)
	}
	return end, took
}

// fits reports whether everything begins and ends when it should if no budget is above the ceiling.
func (p *planner) fits(ceiling float64) bool {
	copy(p.free, p.busy)
	total := p.total(ceiling)
	for i := 0; i < len(p.queue); {
		end, took := p.take(i, total, ceiling)
		total -= took
		k := p.first()
		begin := p.free[k]
		p.free[k] += took
		for ; i < end; i++ {
			if w := &p.queue[i]; begin > w.begin || p.free[k] > w.end {
				return false
			}
		}
	}
	return true
}

// firstPass returns how long the pass will take that is run now.
func (p *planner) firstPass(ceiling float64) float64 {
	_, took := p.take(0, p.total(ceiling), ceiling)
	return took
}

// shed marks the images that cannot be done when they are due even with all budgets at their least, and takes them out
// of the queue. With try true it leaves one of those whose time is not over yet if it would take out all: should the
// estimates be far too high, nothing but a pass can tell. It fills done and
// last.
func (p *planner) shed(try bool) {
	copy(p.free, p.busy)
	p.done, p.last = p.done[:0], 0
	total, kept, work := p.total(0), 0, 0.0
	for _, t := range p.busy {
		work += t
	}
	for i := 0; i < len(p.queue); {
		end, took := p.take(i, total, 0)
		total -= took
		k := p.first()
		begin, last := kept, end == len(p.queue)
		for ; i < end; i++ { // the most urgent first: without it the others end sooner
			w := &p.queue[i]
			if p.free[k]+took > w.due && !(try && last && kept == 0 && i == end-1 && w.due > 0) {
				w.item.Shed = true
				took -= w.seconds(0)
				continue
			}
			work += w.seconds(0)
			p.done = append(p.done, work/float64(len(p.busy)))
			p.queue[kept] = *w
			kept++
		}
		if kept > begin {
			p.free[k] += took
			p.last = max(p.last, p.free[k])
		}
	}
	p.queue = p.queue[:kept]
}

// precision of a ceiling: 2⁻⁸ of what lies between the least and the largest budget.
const bisections = 8

// ceiling returns the largest share with which everything fits, between the smallest least and the largest asked for.
// With floor true not even the smallest does.
func (p *planner) ceiling() (share float64, floor bool) {
	low, high := 1.0, 0.0
	for i := range p.queue {
		low, high = min(low, p.queue[i].least), max(high, p.queue[i].ask)
	}
	if p.fits(high) {
		return high, false
	}
	if !p.fits(low) {
		return low, true
	}
	for range bisections {
		if middle := (low + high) / 2; p.fits(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low, false
}
