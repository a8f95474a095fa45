package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/adavit/adavit/internal/turns"
	"github.com/adavit/adavit/report"
)

// scalingAsked is how much of n times one thread's speed n threads are to reach that share one image.
const scalingAsked = 0.90

// scaling is one image on one thread, one that several threads share, and as many images as threads, one on each: in
// turns with each other, since sides of different contests would also differ by what the machine did meanwhile.
type scaling struct {
	model   *model
	threads int
	pairs   []scalingPair
}

// scalingPair is one precision.
type scalingPair struct {
	precision string
	one, all  *entry
	each      *entry // a batch of as many images as threads
}

// of is the speed on all threads as a share of so many times the speed on one.
func (p scalingPair) of(threads int) span {
	s, n := p.all.speedup(p.one), float64(threads)
	return span{s.value / n, s.low / n, s.high / n}
}

// ofEach is how many times one thread's images a second come out where each image has a thread.
func (p scalingPair) ofEach(threads int) span {
	s, n := p.each.speedup(p.one), float64(threads)
	return span{s.value * n, s.low * n, s.high * n}
}

// scale measures that for a model, if there is more than one thread to run on.
func (f *findings) scale(ctx context.Context, m *model) error {
	n := slices.Max(f.options.threads)
	if n == 1 {
		return nil
	}
	f.progress("%s: %d threads against one", m.name, n)
	s := &scaling{model: m, threads: n}
	var sides []*entry
	for _, p := range f.options.precisions {
		pair := scalingPair{precision: p}
		for _, x := range []struct {
			threads, batch int
			e              **entry
		}{{1, 1, &pair.one}, {n, 1, &pair.all}, {n, n, &pair.each}} {
			side, err := newEngineSide(job{m, x.threads, x.batch}, p, "", nil)
			if err != nil {
				return err
			}
			defer side.close()
			*x.e = &entry{who: oursName, what: p, side: side}
			sides = append(sides, *x.e)
		}
		s.pairs = append(s.pairs, pair)
	}
	err := turns.Play(ctx, f.options.rounds, len(sides), func(_, i int) error {
		time.Sleep(pause)
		ms, err := sides[i].side.run(ctx, f.options.turn.Seconds()/2)
		sides[i].rounds = append(sides[i].rounds, ms)
		return err
	}, nil)
	f.scalings = append(f.scalings, s)
	return err
}

// writeScaling writes what several threads bring.
func (f *findings) writeScaling(w io.Writer) {
	if len(f.scalings) == 0 {
		return
	}
	fmt.Fprintf(w, "\n## More threads\n\nSpeed against one thread of the same precision, in turns: one image that all "+
		"threads share, and as many images as threads, each on one, with the weights shared.\n\n")
	t := report.NewTable(3, "model", "precision", "threads", "× one thread, one image", "× one thread, an image each")
	for _, s := range f.scalings {
		for _, p := range s.pairs {
			t.Add(s.model.name, p.precision, fmt.Sprint(s.threads), p.all.speedup(p.one).ratio(), p.ofEach(s.threads).ratio())
		}
	}
	io.WriteString(w, t.Markdown())
}
