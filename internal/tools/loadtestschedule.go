package tools

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/adavit/adavit/internal/usage"
)

// Arrivals is how requests are spread over time.
type Arrivals string

// Poisson has gaps that know nothing of each other, as many people's requests have; Constant has equal ones.
const (
	Poisson  Arrivals = "poisson"
	Constant Arrivals = "constant"
)

// ParseArrivals reads the name of one.
func ParseArrivals(name string) (Arrivals, error) {
	switch a := Arrivals(name); a {
	case Poisson, Constant:
		return a, nil
	}
	return "", usage.Errorf("arrivals %q are not known, want %s or %s", name, Poisson, Constant)
}

// schedule says when requests are sent, whatever became of those before.
type schedule struct {
	gap float64    // seconds, on average
	rng *rand.Rand // nil: gaps are equal
	at  float64    // gaps from the start
}

// newSchedule returns one of so many requests a second. The same seed and stream give the same one.
func newSchedule(a Arrivals, rate float64, seed, stream uint64) *schedule {
	s := &schedule{gap: 1 / rate}
	if a == Poisson {
		s.rng = rand.New(rand.NewPCG(seed, stream))
	}
	return s
}

// next is the time of the next request, from the start.
func (s *schedule) next() time.Duration {
	if s.rng == nil {
		s.at++
	} else {
		s.at += s.rng.ExpFloat64()
	}
	return time.Duration(math.Round(min(s.at*s.gap*1e9, math.MaxInt64/2)))
}

// alarm wakes one goroutine at given times.
type alarm interface {
	// wait returns when the time has come, or with the context's error.
	wait(ctx context.Context, at time.Time) error
	close()
}

// timerAlarm is the alarm that Go has: up to a millisecond late in a program that has nothing else to do.
type timerAlarm struct{ timer *time.Timer }

func newTimerAlarm() alarm {
	t := time.NewTimer(0)
	t.Stop()
	return timerAlarm{t}
}

func (a timerAlarm) wait(ctx context.Context, at time.Time) error {
	d := time.Until(at)
	if d <= 0 {
		return ctx.Err()
	}
	a.timer.Reset(d)
	select {
	case <-a.timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a timerAlarm) close() { a.timer.Stop() }
