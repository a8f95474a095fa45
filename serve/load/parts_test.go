package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestCeiling: the share that the planner finds fits, and is the largest asked for if that fits.
func TestCeiling(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	found := 0
	for range 2000 {
		workers := 1 + r.IntN(4)
		p := planner{busy: make([]float64, workers), free: make([]float64, workers)}
		for i := range p.busy[1:] {
			p.busy[1+i] = r.Float64() * 0.2
		}
		due, most := 0.0, 0.0
		for range 1 + r.IntN(40) {
			due += r.ExpFloat64() * 0.02
			ask := 0.3 + 0.7*r.Float64()
			p.queue = append(p.queue, waiting{item: new(Item), dense: 0.05 * r.Float64(), fixed: 0.1, ask: ask,
				least: ask * r.Float64(), begin: 1, end: due + 0.1, due: due + 0.1, pass: 1 + r.IntN(8)})
		}
		p.shed(true)
		if len(p.queue) == 0 {
			continue
		}
		for _, w := range p.queue {
			most = max(most, w.ask)
		}
		s, floor := p.ceiling()
		if !floor && !p.fits(s) {
			t.Fatalf("a ceiling of %v does not fit", s)
		}
		if s < most && p.fits(most) {
			t.Fatalf("a ceiling of %v where %v fits", s, most)
		}
		if floor && p.fits(s) {
			t.Fatalf("%v fits, and is said to be too much", s)
		}
		found += b2i(!floor && s < most)
	}
	if found < 100 {
		t.Errorf("only %d cases had to search", found)
	}
}

// TestPace: the estimate finds what a token-block takes and what an image costs besides, takes no notice of single
// stalls, and follows a change of speed in some ten passes.
func TestPace(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 5))
		p := pace{block: 1e-4, fixed: fixedStart}
		block, fixed := 2e-4, 0.3*r.Float64()
		pass := func() {
			n := 1 + r.IntN(8)
			dense := 600 * float64(n)
			work := dense * (0.25 + 0.75*r.Float64())
			took := block * (work + fixed*dense) * math.Exp(0.1*r.NormFloat64())
			if r.IntN(40) == 0 {
				took *= 10
			}
			p.observe(time.Duration(took*1e9), work, dense)
		}
		right := func() bool {
			for _, share := range []float64{0.25, 0.5, 1} {
				if ratio := p.seconds(600, share) / (block * 600 * (share + fixed)); ratio < 0.8 || ratio > 1.25 {
					return false
				}
			}
			return true
		}
		for range 400 {
			pass()
		}
		good := 0
		for range 100 {
			pass()
			good += b2i(right())
		}
		if good < 90 {
			t.Errorf("seed %d: right after %d of 100 passes: %+v", seed, good, p)
		}
		block *= 2
		for range 12 {
			pass()
		}
		if s := p.seconds(600, 1) / (600 * block * (1 + fixed)); s < 0.75 || s > 1.4 {
			t.Errorf("seed %d: twelve passes after the speed has halved, an image is said to take %.2f of its time", seed, s)
		}
	}
	var p pace
	p.observe(time.Second, 0, 0)
	p.observe(0, 1, 1)
	if p.seen != 0 || p.seconds(600, 1) != 0 {
		t.Errorf("learnt from nothing: %+v", p)
	}
}

// TestTrim works out brownout's step by hand: r = 0.8, gain 0.1, a tenth of that upward.
func TestTrim(t *testing.T) {
	for _, c := range []struct {
		p99            float64
		lowered, floor bool
		theta, room    float64
	}{
		{1.2, true, false, 0.4 - 0.1*0.5*0.4, 0.5},                 // late
		{9, true, false, 0.4 - 0.1*0.4, 0.5},                       // very late: at most by a tenth
		{0.4, true, false, 0.4 + 0.01*0.5*0.4, 0.5 + 0.02*0.5*0.5}, // time to spare
		{0.4, false, false, 0.4, 0.5 + 0.02*0.5*0.5},               // but all budgets are whole
		{1.2, true, true, 0.4, 0.5 - 0.2*0.5*0.5},                  // late, and nothing is left to take: admit fewer
		{0.4, true, true, 0.4 + 0.01*0.5*0.4, 0.5 + 0.02*0.5*0.5},  // or more
		{1.2, false, false, 0.4 - 0.1*0.5*0.4, 0.5},                // late with whole budgets: begin to lower them
	} {
		tr := trim{theta: 0.4, room: 0.5, lowered: c.lowered, floor: c.floor}
		if tr.step(c.p99, 1); math.Abs(tr.theta-c.theta) > 1e-12 || math.Abs(tr.room-c.room) > 1e-12 {
			t.Errorf("%+v: θ = %v, room %v", c, tr.theta, tr.room)
		}
		if tr.lowered || tr.floor {
			t.Errorf("%+v: the next period remembers", c)
		}
	}
	tr := trim{theta: 0.4}
	for range 1000 {
		tr.step(9, 1)
	}
	if tr.theta != trimLeast {
		t.Errorf("θ = %v, want %v at the least", tr.theta, trimLeast)
	}
	for range 1000 {
		tr.floor = true
		tr.step(9, 1)
	}
	if tr.room != roomLeast {
		t.Errorf("room %v, want %v at the least", tr.room, roomLeast)
	}
}

// TestWindow: percentiles are those of what came in the last 2 s, to 6 %.
func TestWindow(t *testing.T) {
	c, class := bench(t, 1, Queue)
	r := rand.New(rand.NewPCG(5, 6))
	type one struct{ at, latency float64 }
	var all []one
	c.Figures(at(0))
	for now := 0.003; now < 10; now += 0.01 {
		latency := 0.001 * math.Exp(2*r.Float64()+now/4)
		item := &Item{Class: class, Dense: 100, Ask: 1, Least: 1, Share: 0.5, Arrived: at(now - latency)}
		c.Ran(at(now), 0, false, []*Item{item})
		if all = append(all, one{now, latency}); now < 3 {
			continue
		}
		var last []float64
		begin := math.Floor(now/0.25)*0.25 - 1.75
		for _, o := range all {
			if o.at >= begin-1e-9 {
				last = append(last, o.latency)
			}
		}
		slices.Sort(last)
		f := c.Figures(at(now))
		for q, got := range map[float64]time.Duration{0.5: f.P50, 0.99: f.P99} {
			want := last[int(math.Ceil(q*float64(len(last))))-1]
			if ratio := got.Seconds() / want; ratio < 0.94 || ratio > 1.06 {
				t.Fatalf("at %.2f s: percentile %v is %v, want %v s", now, q, got, want)
			}
		}
		if f.Budget != 0.5 || f.Degraded != uint64(len(all)) {
			t.Fatalf("%+v", f)
		}
	}
	for _, later := range []float64{13, 1e4, 1e9} {
		if f := c.Figures(at(later)); f.P50 != 0 || f.P99 != 0 || !math.IsNaN(f.Budget) {
			t.Errorf("after %v s: %+v", later, f)
		}
	}
}
