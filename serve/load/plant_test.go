package load

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// plant is a server and its load: what the controller does not know.
type plant struct {
	workers, pass int
	dense         float64 // token-blocks of an image
	block, fixed  float64 // seconds a token-block of a worker; what an image costs besides, as a share of dense
	objective     time.Duration
	least         float64 // the smallest budget
	length        float64 // seconds
	rate          func(t float64) float64
	peak          float64                 // the most of rate: arrivals, as a multiple of what the dense model can do
	speed         func(t float64) float64 // of the workers, as a multiple

	told   float64 // what the controller is told of block, as a multiple
	bend   float64 // a share s really costs s^bend: 0.5 is twice as much at 0.25, 1.5 half
	spread float64 // deviation of the logarithm of an image's cost
	tail   bool    // requests of many images, by Pareto's law
	decode float64 // seconds at most between admission and the queue

	impatient float64 // share of requests with timeouts of their own, shorter than the objective
	fixedAsk  float64 // share of images whose budget nothing lowers
	hangUp    float64 // share of requests whose client hangs up before its image is in the queue
	small     float64 // share of requests for a second model, a fifth of the first in cost
}

// capacity returns how many dense images a second the plant can do.
func (p *plant) capacity() float64 { return float64(p.workers) / (p.block * p.dense * (1 + p.fixed)) }

// outcome is what became of the images.
type outcome struct {
	offered, refused, shed, gone int
	good, late                   int     // answered in time, or after it
	left                         int     // neither answered nor refused nor shed when all was over
	dark                         float64 // the longest time without an answer while something waited, seconds
	overdue                      float64 // the longest that an image was kept beyond its deadline, seconds
	answers                      []answer
	misses                       []float64                          // arrivals of those admitted, with no answer in time
	groups                       [8]struct{ offered, answered int } // see client.group
}

type answer struct{ arrived, latency, share float64 }

// missed is the share of admitted images that had no answer in time. At most 0.01 of it says that the 99th percentile
// is within the objective even if what was admitted and then shed counts as late.
func (o *outcome) missed() float64 { return float64(len(o.misses)) / float64(o.good+len(o.misses)) }

// missedOutside leaves out what arrived between two times, seconds.
func (o *outcome) missedOutside(from, to float64) float64 {
	outside := func(t float64) bool { return t < from || t > to }
	n, all := 0, 0
	for _, t := range o.misses {
		n += b2i(outside(t))
	}
	for _, a := range o.answers {
		all += b2i(outside(a.arrived))
	}
	return float64(n) / float64(max(all, 1))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// share returns the mean budget of what arrived from a time on.
func (o *outcome) share(from float64) float64 {
	sum, n := 0.0, 0
	for _, a := range o.answers {
		if a.arrived >= from {
			sum, n = sum+a.share, n+1
		}
	}
	return sum / float64(n)
}

// client is an image in the plant.
type client struct {
	Item
	at    float64 // of arrival
	ready float64 // when it is decoded
	cost  float64 // as a multiple of what its share costs
	gone  bool
	group int // 1: of a hasty request, 2: whose budget nothing lowers, 4: of the small model; or a sum of these
}

// worker runs a pass if it has clients.
type worker struct {
	clients     []*client
	took, until float64
	team        bool // all workers share it
}

// simulation is one run of a plant.
type simulation struct {
	*plant
	control  *Controller
	classes  [2]*Class
	r        *rand.Rand
	now      float64
	decoding []*client // by ready
	queue    []*client // by deadline
	workers  []worker
	items    []*Item // scratch
	last     float64 // answer, or when nothing waited
	outcome
}

// at is a time of the simulation.
func at(t float64) time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(t * 1e9))
}

// run plays the plant under a controller. A seed brings the same requests in every mode.
func (p *plant) run(t testing.TB, mode Mode, seed uint64) *outcome {
	control, err := New(Options{Workers: p.workers, Objective: p.objective, Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	s := &simulation{plant: p, control: control, r: rand.New(rand.NewPCG(seed, 1)), workers: make([]worker, p.workers)}
	for i := range s.classes {
		s.classes[i] = control.NewClass(p.pass, p.block*p.told)
	}
	for next := s.draw(); ; {
		s.now = next
		what := -1 // an arrival; or a worker's end; or an image that is decoded
		for i, w := range s.workers {
			if w.clients != nil && w.until < s.now {
				s.now, what = w.until, i
			}
		}
		if len(s.decoding) > 0 && s.decoding[0].ready <= s.now {
			s.now, what = s.decoding[0].ready, len(s.workers)
		}
		switch {
		case math.IsInf(s.now, 1):
			s.left = len(s.queue) + len(s.decoding)
			return &s.outcome
		case what < 0:
			s.arrive()
			next = s.draw()
		case what < len(s.workers):
			s.finish(&s.workers[what])
		default:
			s.enqueue()
		}
		s.dispatch()
	}
}

// draw returns the next arrival: of Poisson's process at the peak's rate, thinned.
func (s *simulation) draw() float64 {
	images := 1.0
	if s.tail {
		images = meanImages
	}
	for t := s.now; ; {
		t += s.r.ExpFloat64() * images / (s.peak * s.capacity())
		if t > s.length {
			return math.Inf(1)
		}
		if s.r.Float64()*s.peak < s.rate(t) {
			return t
		}
	}
}

// images draws their number in a request of heavy tail, of which there are meanImages on average.
func images(r *rand.Rand) int { return min(int(math.Pow(1-r.Float64(), -1/1.3)), 12) }

var meanImages = func() (mean float64) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 1 << 16 {
		mean += float64(images(r)) / (1 << 16)
	}
	return mean
}()

// arrive brings a request.
func (s *simulation) arrive() {
	n := 1
	if s.tail {
		n = images(s.r)
	}
	timeout, group := 30*time.Second, 0
	if u, v := s.r.Float64(), s.r.Float64(); u < s.impatient {
		timeout = time.Duration((0.4 + 0.6*v) * float64(s.objective))
		group |= 1
	}
	class, dense, least, gone := 0, s.dense, s.least, s.r.Float64() < s.hangUp
	if s.r.Float64() < s.small {
		class, dense = 1, s.dense/5
		group |= 4
	}
	if s.r.Float64() < s.fixedAsk {
		least = 1
		group |= 2
	}
	clients, items := make([]*client, n), make([]*Item, n)
	for i := range clients {
		c := &client{Item: Item{Class: s.classes[class], Dense: dense, Ask: 1, Least: least}, at: s.now, gone: gone,
			group: group}
		c.cost = math.Exp(s.spread*s.r.NormFloat64() - s.spread*s.spread/2)
		c.ready = s.now + s.decode*s.r.Float64()
		clients[i], items[i] = c, &c.Item
	}
	s.offered += n
	s.groups[group].offered += n
	if _, ok := s.control.Admit(at(s.now), timeout, items...); !ok {
		s.refused += n
		return
	}
	for _, c := range clients {
		k, _ := slices.BinarySearchFunc(s.decoding, c.ready, func(a *client, t float64) int {
			return cmp.Compare(a.ready, t)
		})
		s.decoding = slices.Insert(s.decoding, k, c)
	}
}

// enqueue takes an image that is decoded.
func (s *simulation) enqueue() {
	c := s.decoding[0]
	s.decoding = slices.Delete(s.decoding, 0, 1)
	if c.gone {
		s.gone++
		s.control.Drop(&c.Item)
		return
	}
	k, _ := slices.BinarySearchFunc(s.queue, c, func(a, b *client) int {
		return cmp.Or(a.Deadline.Compare(b.Deadline), -1)
	})
	s.queue = slices.Insert(s.queue, k, c)
}

// finish takes a worker's answers.
func (s *simulation) finish(w *worker) {
	s.items = s.items[:0]
	for _, c := range w.clients {
		s.items = append(s.items, &c.Item)
		s.answers = append(s.answers, answer{arrived: c.at, latency: s.now - c.at, share: c.Share})
		s.groups[c.group].answered++
		late := s.now - c.Deadline.Sub(at(0)).Seconds()
		if s.overdue = max(s.overdue, late); late < 1e-6 {
			s.good++
		} else {
			s.late++
			s.misses = append(s.misses, c.at)
		}
	}
	s.control.Ran(at(s.now), time.Duration(w.took*1e9), w.team, s.items)
	s.dark, s.last = max(s.dark, s.now-s.last), s.now
	w.clients = nil
}

// dispatch lets idle workers begin passes.
func (s *simulation) dispatch() {
	busy := 0
	for i := range s.workers {
		if w := &s.workers[i]; w.clients != nil {
			busy++
			if w.team {
				return
			}
		}
	}
	if busy == 0 && len(s.queue) == 0 {
		s.last = s.now
	}
	for i := range s.workers {
		if w := &s.workers[i]; w.clients == nil && len(s.queue) > 0 {
			w.team = busy == 0 && len(s.queue) < len(s.workers)
			s.start(w)
			if busy++; w.team {
				return
			}
		}
	}
}

// start begins a pass, as internal/pool does: the first image's model, and further images of that model until they are
// their share of the work that waits.
func (s *simulation) start(w *worker) {
	s.items = s.items[:0]
	for _, c := range s.queue {
		s.items = append(s.items, &c.Item)
	}
	s.control.Plan(at(s.now), s.items)
	work := 0.0
	s.queue = slices.DeleteFunc(s.queue, func(c *client) bool {
		if c.Shed {
			s.shed++
			s.misses = append(s.misses, c.at)
			s.overdue = max(s.overdue, s.now-c.Deadline.Sub(at(0)).Seconds())
			return true
		}
		work += c.Share * c.Dense
		return false
	})
	if len(s.queue) == 0 {
		return
	}
	quota, sum := math.Ceil(work/float64(len(s.workers))), 0.0
	class := s.queue[0].Class
	w.took = 0
	s.queue = slices.DeleteFunc(s.queue, func(c *client) bool {
		if c.Class != class || len(w.clients) == s.pass || sum >= quota && !w.team {
			return false
		}
		w.clients = append(w.clients, c)
		sum += c.Share * c.Dense
		w.took += c.Dense * s.block * (math.Pow(c.Share, s.bend) + s.fixed) * c.cost
		return true
	})
	if w.took /= s.speed(s.now); w.team {
		w.took /= 0.7 * float64(len(s.workers))
	}
	w.until = s.now + w.took
}
