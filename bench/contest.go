package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/internal/turns"
)

// Names of the two columns that a side has in tables and in claims.
const (
	oursName  = "adavit"
	prunedTag = " pruned" // after the precision of a side that runs a fixed share of the tokens in each block
)

// entry is one side of a contest and what was measured of it.
type entry struct {
	who  string // adavit, or the peer's name
	what string // precision, then what else is special
	side side

	rounds [][]float64 // milliseconds of the batches in each round

	pruned             bool    // each block runs its fixed share of the patch tokens
	precision          string  // whose peak it is held against
	performed, nominal float64 // multiply-adds of one image: really done, and by the usual count
	held               int64   // a peer's memory, in bytes; 0 if not known
	setting, note      string  // of a peer: the fastest of its settings, and what else is to be known
}

// key is how claims name a side.
func (e *entry) key() string { return e.who + " " + e.what }

// contest lets the sides of one job take turns.
type contest struct {
	job
	title   string
	path    string // our kernels; "" for the fastest
	peers   []peer
	entries []*entry
	missing map[string]string  // by their keys, sides that could not run, and why
	parts   []*partsTurns      // where the time goes; in contests of one thread and one image
	peak    map[string]float64 // operations a second of each precision, best of the rounds
	checks  []check
}

func (c *contest) close() {
	for _, e := range c.entries {
		e.side.close()
	}
}

// failed keeps why a peer cannot run.
func (c *contest) failed(p peer, precision string, err error) { c.lacks(p.name()+" "+precision, err) }

// lacks keeps why the side of a key is not there.
func (c *contest) lacks(key string, err error) {
	if c.missing == nil {
		c.missing = map[string]string{}
	}
	c.missing[key] = oneLine(err.Error())
}

// drop takes a side out of the contest again.
func (c *contest) drop(e *entry, err error) {
	c.lacks(e.key(), err)
	c.entries = slices.DeleteFunc(c.entries, func(other *entry) bool { return other == e })
	e.side.close()
}

// add takes a side into the contest.
func (c *contest) add(e *entry) { c.entries = append(c.entries, e) }

// find returns the side of a key, or nil.
func (c *contest) find(key string) *entry {
	for _, e := range c.entries {
		if e.key() == key {
			return e
		}
	}
	return nil
}

const (
	pause    = 100 * time.Millisecond // between turns: threads of the side before stop looking for work
	peakTime = 60 * time.Millisecond

	peakRounds = 4 // that begin with a measurement of the peak
)

// measure runs the rounds.
func (c *contest) measure(ctx context.Context, rounds int, turn time.Duration) error {
	err := turns.Play(ctx, rounds, len(c.entries), func(round, i int) error {
		if round < peakRounds && i == turns.Order(len(c.entries), round)[0] {
			if err := c.measurePeak(); err != nil {
				return err
			}
		}
		e := c.entries[i]
		time.Sleep(pause)
		ms, err := e.side.run(ctx, turn.Seconds())
		if err != nil {
			return fmt.Errorf("%s: %w", e.key(), err)
		}
		e.rounds = append(e.rounds, ms)
		for _, t := range c.parts {
			if e.who == oursName && !e.pruned && t.precision == e.precision {
				t.run(turn.Seconds() / 3)
			}
		}
		return nil
	}, nil)
	if err != nil {
		return err
	}
	for _, e := range c.entries {
		if s, ok := e.side.(*engineSide); ok {
			e.performed, e.nominal = s.macs()
		}
	}
	return nil
}

// measurePeak measures the rates of multiply-adds on the kernels of this contest and keeps the best.
func (c *contest) measurePeak() error {
	if c.path != "" {
		restore, err := kernels.Use(c.path)
		if err != nil {
			return err
		}
		defer restore()
	}
	if c.peak == nil {
		c.peak = map[string]float64{}
	}
	seen := map[string]bool{}
	for _, e := range c.entries {
		if p := e.precision; e.who == oursName && !seen[p] {
			seen[p] = true
			c.peak[p] = max(c.peak[p], peakRate(p, c.threads, peakTime))
		}
	}
	return nil
}
