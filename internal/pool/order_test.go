package pool

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/vit"
)

// TestOrder: the earliest deadline goes first, then the first to come; those without a deadline are last. A pass is
// never larger than the engine's.
func TestOrder(t *testing.T) {
	b := newBench(t, Options{Threads: 1})
	release, begin := b.hold(1), time.Now()
	jobs := b.jobs(0, 2*b.model.PassSize()+10)
	for i, j := range jobs {
		if i%3 > 0 {
			j.Deadline = begin.Add(time.Duration(i*7%20) * time.Hour)
		}
	}
	half := len(jobs) / 2
	waits := []func() error{b.queue(b.model, jobs[:half]...), b.queue(b.model, jobs[half:]...)}
	release()
	for _, wait := range waits {
		if err := wait(); err != nil {
			t.Fatal(err)
		}
	}
	b.check(infer.F32, jobs...)
	var got []any
	for i, r := range b.ran() {
		got = append(got, r.values...)
		if want := []int{b.model.PassSize(), b.model.PassSize(), 10}; r.Images != want[i] || r.Jobs[0].Batch != want[i] {
			t.Errorf("pass %d has %d images, want %d", i, r.Images, want[i])
		}
	}
	if want := values(byUrgency(jobs)); !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

// TestShares: a worker takes its share of the predicted work, not of the images, and goes by what still waits.
func TestShares(t *testing.T) {
	b := newBench(t, Options{Threads: 2})
	first, dense := b.hold(2), float64(50*3)
	for name, c := range map[string]struct {
		works []float64
		want  []int // images in the passes of one worker, the other being busy
	}{
		"one as much as ten": {[]float64{10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []int{1, 5, 3, 1, 1}},
		"dear ones last":     {[]float64{1, 1, 1, 1, 4, 4}, []int{5, 1}},
		"equal":              {[]float64{0.1, 0.1, 0.1, 0.1, 0.1, 0.1}, []int{3, 2, 1}},
		"dense":              {[]float64{0, dense, 0, 0}, []int{2, 1, 1}},
		"no sense":           {[]float64{-1, dense, dense, 0}, []int{2, 1, 1}},
	} {
		jobs := b.jobs(0, len(c.works))
		for i, j := range jobs {
			j.Work = c.works[i]
		}
		before := len(b.ran())
		wait := b.queue(b.model, jobs...)
		first() // one worker goes on; the other stays at the gate
		wait()
		var got []int
		for _, r := range b.ran()[before:] {
			got = append(got, r.Images)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: passes of %v images, want %v", name, got, c.want)
		}
		b.check(infer.F32, jobs...)
		first() // the other, so that both can be held again
		b.until("nobody is at work", func() bool { return b.Busy() == 0 })
		first = b.hold(2)
	}
	first()
	first()
}

// TestTeam: all threads share an image where fewer wait than there are threads and nobody is at work, whatever the
// models; nobody begins anything beside them.
func TestTeam(t *testing.T) {
	b := newBench(t, Options{Threads: 4})
	other := b.add(infer.F32)
	run := func(m *Model, n int) {
		t.Helper()
		jobs := b.jobs(0, n)
		if err := m.Run(jobs...); err != nil {
			t.Fatal(err)
		}
		b.check(infer.F32, jobs...)
	}
	run(b.model, 1)
	run(other, 3)
	run(b.model, 4)
	for i, r := range b.ran()[:3] { // what is left of the four may be the team's again
		if shared, images := i < 2, []int{1, 3, 1}[i]; r.Shared != shared || r.Images != images {
			t.Errorf("pass %d: %d images, shared %t, want %d, %t", i, r.Images, r.Shared, images, shared)
		}
	}
	b.until("nobody is at work", func() bool { return b.Busy() == 0 })

	before := len(b.ran())
	release := b.hold(1) // by the team
	if n := b.Busy(); n != 4 {
		t.Errorf("the team is at work: %d threads busy", n)
	}
	wait := b.queue(b.model, b.job(1))
	waitOther := b.queue(other, b.jobs(2, 2)...)
	time.Sleep(10 * time.Millisecond)
	if n := b.Waiting(); n != 3 || len(b.ran()) != before {
		t.Errorf("while the team is at work %d images wait, want 3", n)
	}
	release()
	wait()
	waitOther()
	b.until("nobody is at work", func() bool { return b.Busy() == 0 })
	got := b.ran()[before:]
	if len(got) != 2 || !got[0].Shared || !got[1].Shared || got[0].Model != b.model || got[1].Images != 2 {
		t.Errorf("one image of a model and two of another: %+v", got)
	}

	release = b.hold(1) // and four that wait meanwhile: all workers go on with them, and not the team's leader alone
	jobs := b.jobs(0, 4)
	for _, j := range jobs {
		j.Scheme = gated
	}
	wait = b.queue(b.model, jobs...)
	release()
	for range jobs {
		<-b.gate.in
	}
	for range jobs {
		release()
	}
	wait()
	b.until("nobody is at work", func() bool { return b.Busy() == 0 })

	before = len(b.ran())
	release = b.hold(4)
	for range 3 {
		release()
	}
	b.until("three workers rest", func() bool { return b.Busy() == 1 })
	run(other, 1)
	if got := b.ran()[before:]; len(got) != 1 || got[0].Shared {
		t.Errorf("an image beside a worker's pass: %+v", got)
	}
	release()
}

// TestSmallTeam: on a machine of many cores no more threads share an image than a team has, and as many images as that
// run side by side.
func TestSmallTeam(t *testing.T) {
	b := newBench(t, Options{Threads: infer.MaxTeam + 8})
	for _, n := range []int{infer.MaxTeam - 1, infer.MaxTeam} {
		before, jobs := len(b.ran()), b.jobs(0, n)
		if err := b.model.Run(jobs...); err != nil {
			t.Fatal(err)
		}
		b.check(infer.F32, jobs...)
		shared := n < infer.MaxTeam
		if got := b.ran()[before]; got.Shared != shared || shared && got.Images != n {
			t.Errorf("%d images: the first pass has %d, shared %t", n, got.Images, got.Shared)
		}
		b.until("nobody is at work", func() bool { return b.Busy() == 0 })
	}
	release := b.hold(1)
	if n := b.Busy(); n != infer.MaxTeam {
		t.Errorf("a team is at work: %d threads busy, want %d", n, infer.MaxTeam)
	}
	release()
}

// TestModels: a pass holds images of one model, that of the most urgent image; shares are of the work of all models.
func TestModels(t *testing.T) {
	b := newBench(t, Options{Threads: 2})
	other := b.add(infer.BF16)
	release := b.hold(2)
	a, c := b.jobs(0, 4), b.jobs(10, 4)
	for i := range a {
		a[i].Deadline = time.Now().Add(time.Duration(2*i+2) * time.Hour)
		c[i].Deadline = time.Now().Add(time.Duration(2*i+1) * time.Hour)
	}
	waitA := b.queue(b.model, a...)
	waitC := b.queue(other, c...)
	release()
	waitA()
	waitC()
	b.check(infer.F32, a...)
	b.check(infer.BF16, c...)
	var got [][]any
	for _, r := range b.ran() {
		got = append(got, r.values)
		for _, j := range r.Jobs {
			if in := slices.Contains(a, j); in != (r.Model == b.model) {
				t.Errorf("image %v ran with the other model", j.Value)
			}
		}
	}
	want := [][]any{{10, 11, 12, 13}, {0, 1}, {2}, {3}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("passes %v, want %v", got, want)
	}

	config := b.params.Config // of tokens twice as wide, whose blocks cost nearly four times as much
	config.Embed, config.Hidden = 2*config.Embed, 2*config.Hidden
	dear, err := b.Add(&vit.Model{Params: vit.Initialize(config, 1, 0)}, infer.F32)
	if err != nil {
		t.Fatal(err)
	}
	release()
	b.until("nobody is at work", func() bool { return b.Busy() == 0 })
	release = b.hold(2)
	before, last := len(b.ran()), b.job(20)
	waitA, waitC = b.queue(b.model, a...), b.queue(dear, last)
	release()
	waitA()
	waitC()
	release()
	if r := b.ran()[before]; r.Images != 4 || last.Err != nil {
		t.Errorf("of 4 images beside one that costs as much as these, a worker takes %d (%v)", r.Images, last.Err)
	}
}

// TestPlan: Plan sees all that waits, the most urgent first. What it makes of scheme, cap and work holds, an image with
// its error ends with that, and one whose limits make no sense costs nobody else the result.
func TestPlan(t *testing.T) {
	shed, seen := errors.New("too much"), [][]any{}
	var most *Model
	b := newBench(t, Options{Threads: 1, Plan: func(waiting []*Job) {
		if waiting[0].Value == "held" {
			return
		}
		seen = append(seen, values(waiting))
		most = waiting[0].Model()
		for _, j := range waiting {
			if j.Queued <= 0 {
				t.Errorf("image %v has waited %v", j.Value, j.Queued)
			}
			switch j.Value.(int) {
			case 1:
				j.Scheme = late
			case 2:
				j.Cap = 60
			case 3:
				j.Err = shed
			case 4:
				j.Scheme = 99
			case 5:
				j.Work = 1000
			}
		}
	}})
	release := b.hold(1)
	jobs := b.jobs(0, 8)
	released := make([]int, len(jobs))
	for i, j := range jobs {
		j.Release = func() { released[i]++ }
		j.Work = 1
	}
	jobs[7].Deadline = time.Now().Add(time.Hour)
	wait := b.queue(b.model, jobs...)
	release()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(jobs[3].Err, shed) || !errors.Is(jobs[4].Err, ErrInput) {
		t.Errorf("errors %v and %v, want Plan's and one of input", jobs[3].Err, jobs[4].Err)
	}
	if jobs[1].Scheme != late || jobs[2].Cap != 60 || sum(jobs[2:3]) > 60 {
		t.Errorf("scheme %d, cap %d, cost %d", jobs[1].Scheme, jobs[2].Cap, sum(jobs[2:3]))
	}
	b.check(infer.F32, slices.Delete(slices.Clone(jobs), 3, 5)...)
	if want := [][]any{{7, 0, 1, 2, 3, 4, 5, 6}}; !slices.EqualFunc(seen, want, slices.Equal) || most != b.model {
		t.Errorf("Plan saw %v, want %v", seen, want)
	}
	if slices.Max(released) != 1 || slices.Min(released) != 1 {
		t.Errorf("pixels given back %v times", released)
	}
	all := b.ran()
	if len(all) != 1 || all[0].Images != 6 || all[0].Blocks != sum(all[0].Jobs) || all[0].Blocks == 0 {
		t.Errorf("passes %+v", all)
	}
}
