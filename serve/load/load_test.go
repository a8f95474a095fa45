package load

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/adavit/adavit/internal/usage"
)

// bench is a controller of workers whose dense image of 100 token-blocks takes 10 ms, and nothing besides.
func bench(t testing.TB, workers int, mode Mode) (*Controller, *Class) {
	t.Helper()
	c, err := New(Options{Workers: workers, Objective: 200 * time.Millisecond, Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	class := c.NewClass(4, 1e-4)
	class.own.fixed = 0
	return c, class
}

// admit lets n images in, each of a request of its own.
func admit(c *Controller, class *Class, now float64, n int, least float64) (items []*Item) {
	for range n {
		item := &Item{Class: class, Dense: 100, Ask: 1, Least: least}
		if _, ok := c.Admit(at(now), 0, item); ok {
			items = append(items, item)
		}
	}
	return items
}

// TestTeam: images share workers where fewer wait than a team has, and nobody is at work.
func TestTeam(t *testing.T) {
	for _, x := range []struct {
		team, waiting, running int
		together               bool
	}{{0, 39, 0, true}, {0, 40, 0, false}, {16, 15, 0, true}, {16, 16, 0, false}, {16, 1, 1, false}, {64, 39, 0, true}} {
		c, err := New(Options{Workers: 40, Team: x.team})
		if err != nil {
			t.Fatal(err)
		}
		c.running = make([]running, x.running)
		if got := c.workers(x.waiting); got != x.together {
			t.Errorf("%+v: together is %t", x, got)
		}
	}
}

func TestModes(t *testing.T) {
	for _, m := range []Mode{Degrade, Shed, Queue} {
		if got, err := ParseMode(m.String()); err != nil || got != m {
			t.Errorf("%v reads back as %v, %v", m, got, err)
		}
	}
	if _, err := ParseMode("drop"); !errors.Is(err, usage.Err) {
		t.Errorf("a mode of drop: %v", err)
	}
	for _, o := range []Options{{}, {Workers: 1, Objective: -1}, {Workers: 1, Mode: 3}} {
		if _, err := New(o); !errors.Is(err, usage.Err) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestPlan works out by hand what one worker can do in its time. Of 200 ms, images may begin within 80, and end within
// 180.
func TestPlan(t *testing.T) {
	c, class := bench(t, 1, Degrade)
	items := admit(c, class, 0, 8, 0.2)
	c.Plan(at(0), items) // two passes of 4: the second begins after 40 ms
	for _, item := range items {
		if item.Share != 1 || item.Reason != Default || item.Shed {
			t.Fatalf("8 images: %+v", item)
		}
	}
	c, class = bench(t, 1, Degrade)
	items = admit(c, class, 0, 16, 0.2)
	items[0].Client, items[1].Ask, items[2].Least = true, 0.5, 1
	c.Plan(at(0), items)
	// The fourth pass begins after (9 s + 2 + min(s, 0.5)) · 10 ms = 80 ms, or one image less for the first pass that
	// has two of the others: s = (8 − 1 − 0.5)/10.
	if s := items[0].Share; math.Abs(s-0.65) > 0.005 || items[0].Reason != Load {
		t.Errorf("16 images: a share of %v for %v, want 0.65 for load", s, items[0].Reason)
	}
	if items[1].Share != 0.5 || items[1].Reason != Default || items[2].Share != 1 {
		t.Errorf("shares of %v and %v, want 0.5 and 1", items[1].Share, items[2].Share)
	}
	// Late in the day: 40 ms before the deadline, 20 of which are reserve, the first pass of 4 gets 0.5.
	c.Plan(at(0.16), items[12:])
	if s := items[12].Share; math.Abs(s-0.5) > 0.005 {
		t.Errorf("a share of %v 40 ms before the deadline, want 0.5", s)
	}
	// And 5 ms before it, 4 images at 0.2 would take 8 ms: two are shed, and the other two are told 0.2.
	c.Plan(at(0.195), items[12:])
	if shed := []bool{items[12].Shed, items[13].Shed, items[14].Shed, items[15].Shed}; !slices.Equal(shed,
		[]bool{true, true, false, false}) || items[15].Share != 0.2 {
		t.Errorf("shed %v, share %v", shed, items[15].Share)
	}
	if f := c.Figures(at(0.195)); f.Shed != 2 || f.Answered != 0 || !math.IsNaN(f.Budget) {
		t.Errorf("%+v", f)
	}
}

// TestReasons: a budget is the client's, or the load's, or it follows from the client's own timeout.
func TestReasons(t *testing.T) {
	c, class := bench(t, 1, Degrade)
	item := &Item{Class: class, Dense: 100, Ask: 0.9, Client: true, Least: 0.1}
	c.Admit(at(0), 0, item)
	if c.Plan(at(0), []*Item{item}); item.Share != 0.9 || item.Reason != Client {
		t.Errorf("%v for %v, want 0.9 for client", item.Share, item.Reason)
	}
	c, _ = bench(t, 1, Degrade)
	c.Admit(at(0), 5*time.Millisecond, item)
	if c.Plan(at(0), []*Item{item}); math.Abs(item.Share-0.45) > 0.005 || item.Reason != Deadline {
		t.Errorf("%v for %v, want 0.45 for deadline", item.Share, item.Reason)
	}
	for r, name := range []string{"default", "client", "load", "deadline"} {
		if got := Reason(r).String(); got != name {
			t.Errorf("%q, want %q", got, name)
		}
	}
}

// TestRetry: who is refused is let in again after the time that he is told, if nobody else came, and not before half
// of it; and is told nothing if his own time is too short.
func TestRetry(t *testing.T) {
	for _, mode := range []Mode{Degrade, Shed} {
		c, class := bench(t, 1, mode)
		items := admit(c, class, 0, 200, 0.25)
		most := 0.75 * 200 / 10 // of dense images, without the pass that they are in
		if mode == Degrade {
			most *= 4
		}
		if n := float64(len(items)); n > most || n < most-4 {
			t.Errorf("%v: %v images let in, want %v", mode, n, most)
		}
		late := &Item{Class: class, Dense: 100, Ask: 1, Least: 0.25}
		retry, ok := c.Admit(at(0), 0, late)
		if ok || retry < 110*time.Millisecond || retry > 150*time.Millisecond {
			t.Fatalf("%v: %v, %t", mode, retry, ok)
		}
		c.Plan(at(0), items)
		if _, ok := c.Admit(at(0), 0, late); ok {
			t.Errorf("%v: let in before anything has run", mode)
		}
		if _, ok := c.Admit(at(retry.Seconds()), 0, late); !ok {
			t.Errorf("%v: not let in after %v", mode, retry)
		}
		hasty := &Item{Class: class, Dense: 100, Ask: 1, Least: 0.25}
		if retry, ok := c.Admit(at(retry.Seconds()), time.Millisecond, hasty); ok || retry != 0 {
			t.Errorf("%v: %v, %t for what cannot be done in a millisecond", mode, retry, ok)
		}
	}
	c, class := bench(t, 1, Queue)
	if items := admit(c, class, 0, 1000, 0.25); len(items) != 1000 {
		t.Errorf("queue let %d of 1000 in", len(items))
	}
}

// TestAbandoned: when nobody waited for a pass, the next request finds an idle server, where even one that seems
// hopeless is worth a pass.
func TestAbandoned(t *testing.T) {
	c, class := bench(t, 1, Degrade)
	for i := range 3 {
		now := at(float64(i))
		item := &Item{Class: class, Dense: 100, Ask: 1, Least: 1}
		if _, ok := c.Admit(now, time.Millisecond, item); !ok {
			t.Fatalf("request %d is refused by an idle server", i)
		}
		if c.Plan(now, []*Item{item}); item.Shed {
			t.Fatalf("request %d is shed by an idle server", i)
		}
		if _, ok := c.Admit(now, time.Millisecond, &Item{Class: class, Dense: 100, Ask: 1, Least: 1}); ok {
			t.Errorf("a hopeless request is let in beside request %d", i)
		}
		c.Ran(now, 0, false, nil)
	}
}

// TestDrop: dropped images count no longer, and dropping twice, or what has run, does nothing.
func TestDrop(t *testing.T) {
	c, class := bench(t, 1, Shed)
	items := admit(c, class, 0, 200, 1)
	before := c.Figures(at(0)).Backlog
	c.Drop(items[2:]...)
	c.Drop(items[2:]...)
	if b := c.Figures(at(0)).Backlog; b != 20*time.Millisecond || before < 100*time.Millisecond {
		t.Errorf("a backlog of %v, and after dropping all but two %v", before, b)
	}
	c.Plan(at(0), items[:2])
	c.Ran(at(0.02), 20*time.Millisecond, false, items[:2])
	c.Drop(items...)
	if f := c.Figures(at(0.02)); f.Backlog != 0 || f.Answered != 2 || f.Budget != 1 ||
		f.P50 < 19*time.Millisecond || f.P99 > 21*time.Millisecond {
		t.Errorf("%+v", f)
	}
}

// TestHopeless: estimates that are a thousand times too high let one image at a time through, and are soon right.
func TestHopeless(t *testing.T) {
	for _, mode := range []Mode{Degrade, Shed} {
		c, _ := bench(t, 2, mode)
		class := c.NewClass(4, 0.1)
		for i := range 30 {
			now := float64(i)
			items := admit(c, class, now, 3, 0.5)
			c.Plan(at(now), items)
			items = slices.DeleteFunc(items, func(item *Item) bool { return item.Shed })
			if len(items) == 0 {
				t.Fatalf("%v: nothing runs at %v s", mode, now)
			}
			c.Ran(at(now+0.01), 10*time.Millisecond, false, items[:1])
		}
		if s := class.own.seconds(100, 1); s < 0.005 || s > 0.02 {
			t.Errorf("%v: a dense image is believed to take %v s, want 0.01", mode, s)
		}
	}
}

// TestPlanAllocates nothing once the queue has had its length.
func TestPlanAllocates(t *testing.T) {
	c, class := bench(t, 4, Degrade)
	r := rand.New(rand.NewPCG(1, 2))
	items := make([]*Item, 500)
	for i := range items {
		items[i] = &Item{Class: class, Dense: 200, Ask: 1, Least: 0.1 + 0.2*r.Float64()}
		items[i].Arrived, items[i].Deadline = at(0), at(3)
	}
	now := 0.0
	each := func() {
		now += 0.01
		c.Plan(at(now), items)
		c.Ran(at(now), 0, false, items[:4])
	}
	each()
	if n := testing.AllocsPerRun(100, each); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if s := items[0].Share; s <= 0.1 || s >= 1 {
		t.Errorf("a share of %v: the plan had nothing to search", s)
	}
}
