package load

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// plant is a server with its load: what the controller does not know.
type plant struct {
	workers, pass int
	dense         float64 // token-blocks of an image
	block, fixed  float64 // seconds a token-block of a worker; what an image costs besides, as a share of dense
	objective     time.Duration
	least         float64                 // the smallest budget
	told          float64                 // what the controller is told of block, as a multiple
	bend          float64                 // the share s really costs s^bend: 0.5 is twice as much at 0.25, 1.5 half
	spread        float64                 // deviation of the logarithm of an image's cost
	tail          bool                    // requests of many images, Pareto's law
	impatient     float64                 // share of requests with timeouts of their own, shorter than the objective
	fixedBudget   float64                 // share of images whose budget nothing lowers
	length        float64                 // seconds
	rate          func(t float64) float64 // arrivals, as a multiple of what the dense model can do
	speed         func(t float64) float64 // of the workers, as a multiple
}

func always(x float64) func(float64) float64 { return func(float64) float64 { return x } }

// capacity returns how many dense images a second the plant can do.
func (p *plant) capacity() float64 { return float64(p.workers) / (p.block * p.dense * (1 + p.fixed)) }

// outcome counts images.
type outcome struct {
	offered, refused, shed int
	good, late             int       // answered within their time or after it
	wrong                  int       // neither answered nor shed nor refused when all was over, or past its deadline
	latencies              []float64 // seconds, of those answered, by the order of arrival
	shares                 []float64
	arrivals               []float64
	dark                   float64 // longest time without an answer while something waited
}

func (o *outcome) answered() float64 { return float64(o.good+o.late) / float64(o.offered) }

// missed is the share of admitted images that had no answer in time.
func (o *outcome) missed() float64 {
	return float64(o.late+o.shed) / float64(max(1, o.offered-o.refused))
}

func (o *outcome) p99() float64 {
	if len(o.latencies) == 0 {
		return 0
	}
	l := slices.Clone(o.latencies)
	slices.Sort(l)
	return l[min(len(l)-1, len(l)*99/100)]
}

// request is one image in the plant.
type request struct {
	Item
	at   float64
	cost float64 // as a multiple of what the share costs
}

type worker struct {
	until float64
	began float64
	items []*Item
	took  float64
	team  bool
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(t float64) time.Time { return epoch.Add(time.Duration(t * 1e9)) }

// run plays the plant under a controller. The same seed brings the same requests, whatever the mode.
func (p *plant) run(t testing.TB, mode Mode, seed uint64) outcome {
	c, err := New(Options{Workers: p.workers, Objective: p.objective, Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	class := c.NewClass(p.pass, p.block*p.told)
	r := rand.New(rand.NewPCG(seed, 1))
	var o outcome
	var queue []*Item
	workers := make([]worker, p.workers)
	requests := map[*Item]*request{}
	next, last := 0.0, 0.0
	peak := 0.0
	for t := 0.0; t < p.length; t += p.length / 1000 {
		peak = max(peak, p.rate(t))
	}
	mean := 1.0 // images of a request
	if p.tail {
		mean = pareto.mean()
	}
	draw := func(now float64) float64 { // thinning of the peak's arrivals
		for now < p.length {
			now += r.ExpFloat64() * mean / (peak * p.capacity())
			if r.Float64()*peak < p.rate(now) {
				return now
			}
		}
		return math.Inf(1)
	}
	next = draw(0)
	for {
		now, who := next, -1
		for i := range workers {
			if w := &workers[i]; w.items != nil && w.until < now {
				now, who = w.until, i
			}
		}
		if math.IsInf(now, 1) {
			break
		}
		if who < 0 {
			p.arrive(c, class, r, now, &queue, requests, &o)
			next = draw(now)
		} else {
			w := &workers[who]
			c.Ran(at(now), time.Duration(w.took*1e9), w.team, w.items)
			for _, item := range w.items {
				q := requests[item]
				o.latencies = append(o.latencies, now-q.at)
				o.shares = append(o.shares, item.Share)
				o.arrivals = append(o.arrivals, q.at)
				if now <= item.Deadline.Sub(epoch).Seconds()+1e-6 {
					o.good++
				} else {
					o.late++
				}
				delete(requests, item)
			}
			w.items = nil
			o.dark, last = max(o.dark, now-last), now
		}
		busy := 0
		for i := range workers {
			if workers[i].items != nil {
				busy++
			}
		}
		if busy == 0 && len(queue) == 0 {
			last = now
		}
		for i := range workers {
			if busy == 0 && p.workers > 1 && len(queue) > 0 && len(queue) < p.workers {
				p.dispatch(c, &workers[i], now, &queue, requests, &o, true)
				break
			}
			if workers[i].team && workers[i].items != nil {
				break
			}
			if workers[i].items == nil && len(queue) > 0 {
				p.dispatch(c, &workers[i], now, &queue, requests, &o, false)
				busy++
			}
		}
	}
	o.wrong = len(requests)
	return o
}

// pareto is the law of the number of images of a request.
var pareto law

type law struct{ m float64 }

func (law) draw(r *rand.Rand) int { return min(int(math.Pow(1-r.Float64(), -1/1.3)), 12) }

func (l *law) mean() float64 {
	if l.m == 0 {
		r := rand.New(rand.NewPCG(7, 7))
		for range 100000 {
			l.m += float64(l.draw(r)) / 100000
		}
	}
	return l.m
}

func (p *plant) arrive(c *Controller, class *Class, r *rand.Rand, now float64, queue *[]*Item,
	requests map[*Item]*request, o *outcome) {
	n := 1
	if p.tail {
		n = pareto.draw(r)
	}
	u, v := r.Float64(), r.Float64()
	timeout := 30 * time.Second
	if u < p.impatient {
		timeout = time.Duration((0.4 + 0.6*v) * float64(p.objective))
	}
	items := make([]*Item, n)
	for i := range items {
		q := &request{Item: Item{Class: class, Dense: p.dense, Ask: 1, Least: p.least}, at: now}
		q.cost = math.Exp(p.spread*r.NormFloat64() - p.spread*p.spread/2)
		if r.Float64() < p.fixedBudget {
			q.Least = q.Ask
		}
		items[i] = &q.Item
		requests[&q.Item] = q
	}
	o.offered += n
	if _, ok := c.Admit(at(now), timeout, items...); !ok {
		o.refused += n
		for _, item := range items {
			delete(requests, item)
		}
		return
	}
	for _, item := range items {
		k, _ := slices.BinarySearchFunc(*queue, item, func(a, b *Item) int {
			return cmp.Or(a.Deadline.Compare(b.Deadline), -1)
		})
		*queue = slices.Insert(*queue, k, item)
	}
}

// dispatch begins a pass as internal/pool does.
func (p *plant) dispatch(c *Controller, w *worker, now float64, queue *[]*Item, requests map[*Item]*request,
	o *outcome, team bool) {
	c.Plan(at(now), *queue)
	work := 0.0
	kept := (*queue)[:0]
	for _, item := range *queue {
		if item.Shed {
			o.shed++
			delete(requests, item)
			continue
		}
		kept = append(kept, item)
		work += item.Share * item.Dense
	}
	if *queue = kept; len(kept) == 0 {
		return
	}
	n, sum, took := 0, 0.0, 0.0
	for n < len(kept) && n < p.pass && (n == 0 || team || sum < math.Ceil(work/float64(p.workers))) {
		item := kept[n]
		sum += item.Share * item.Dense
		took += item.Dense * p.block * (math.Pow(item.Share, p.bend) + p.fixed) * requests[item].cost
		n++
	}
	took /= p.speed(now)
	if team {
		took /= 0.7 * float64(p.workers)
	}
	w.items, w.began, w.took, w.until, w.team = slices.Clone(kept[:n]), now, took, now+took, team
	*queue = slices.Delete(kept, 0, n)
}
