package tools

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// How the capacity is looked for: twice as many connections each time, until that gains next to nothing.
const (
	mostCapacityConnections = 64
	capacityGain            = 1.03
	capacityStep            = 3 * time.Second // at most; each step's first quarter is not counted
)

// findCapacity keeps more and more connections busy (a closed loop: each sends its next request when its last one is
// answered) and measures, with the number that the server answered most requests of, once more for the whole duration.
func findCapacity(ctx context.Context, c *loadClient, o LoadOptions) (*Capacity, error) {
	step, best := min(capacityStep, o.Duration), Capacity{}
	closed := func(connections int, d time.Duration) (rate float64, l *closedLoop, err error) {
		l = &closedLoop{client: c, o: o, connections: connections}
		noun := "connections"
		if connections == 1 {
			noun = "connection"
		}
		err = o.watch(fmt.Sprintf("capacity, %d %s", connections, noun), d, func() (err error) {
			rate, err = l.run(ctx, d)
			return err
		})
		return rate, l, err
	}
	for n := 1; n <= min(o.Connections, mostCapacityConnections); n *= 2 {
		rate, _, err := closed(n, step)
		if err != nil {
			return nil, err
		}
		better := rate > capacityGain*best.Requests
		if rate > best.Requests {
			best = Capacity{rate, n}
		}
		if !better && n >= 4 {
			break
		}
	}
	rate, l, err := closed(max(best.Connections, 1), max(o.Duration, step))
	if err != nil {
		return nil, err
	}
	if rate == 0 {
		return nil, fmt.Errorf("the server has no capacity to speak of: of all requests none was answered with success (%s)",
			l.tally.text())
	}
	return &Capacity{rate, best.Connections}, nil
}

// closedLoop keeps a number of connections busy.
type closedLoop struct {
	client      *loadClient
	o           LoadOptions
	connections int
	tally       tally
}

// run returns the successes a second in the last three quarters of d.
func (l *closedLoop) run(ctx context.Context, d time.Duration) (float64, error) {
	begin := time.Now()
	from, end := begin.Add(d/4), begin.Add(d)
	var wait sync.WaitGroup
	var requests atomic.Int64
	for range l.connections {
		wait.Go(func() {
			var w loadWorker
			for ctx.Err() == nil && time.Now().Before(end) {
				sent := time.Now()
				out := w.send(ctx, l.client, int(requests.Add(1)), sent.Add(l.o.Timeout))
				if done := time.Now(); !done.Before(from) && done.Before(end) {
					l.tally.add(out, done.Sub(sent), 0)
				}
			}
		})
	}
	wait.Wait()
	return float64(l.tally.answers[statusOK]) / end.Sub(from).Seconds(), ctx.Err()
}
