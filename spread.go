package adavit

import (
	"sync"
	"sync/atomic"
)

// spread calls task(0..n−1) from several goroutines and returns when all are done. A panic of a task comes out of spread, in the caller's
// goroutine, where it can be recovered from.
func spread(threads, n int, task func(i int)) {
	var next atomic.Int64
	var mu sync.Mutex
	var panicked any
	work := func() {
		defer func() {
			if p := recover(); p != nil {
				mu.Lock()
				panicked = p
				mu.Unlock()
			}
		}()
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			task(i)
		}
	}
	var wg sync.WaitGroup
	for range min(threads, n) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	if panicked != nil {
		panic(panicked)
	}
}
