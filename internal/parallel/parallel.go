// Package parallel runs independent tasks on several goroutines.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/adavit/adavit/internal/cgroup"
	"github.com/adavit/adavit/internal/usage"
)

// For calls task(worker, i) for every i in 0..n−1 and returns when all are done. Tasks are taken in order by at most
// so many workers, numbered from 0, one of which is the caller's goroutine; a worker runs one task at a time. A panic
// of a task comes out of For, in the caller's goroutine, where it can be recovered from.
func For(workers, n int, task func(worker, i int)) {
	var next atomic.Int64
	var broken atomic.Pointer[any]
	work := func(worker int) {
		defer func() {
			if p := recover(); p != nil {
				broken.CompareAndSwap(nil, &p)
			}
		}()
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			task(worker, i)
		}
	}
	var wg sync.WaitGroup
	for worker := 1; worker < min(workers, n); worker++ {
		wg.Go(func() { work(worker) })
	}
	work(0)
	wg.Wait()
	if p := broken.Load(); p != nil {
		panic(*p)
	}
}

// MaxThreads is far above any machine; more is a slip of the finger.
const MaxThreads = 1024

// Threads resolves a number of threads: 0 means the CPUs that the process may use, affinity and cgroup quota counted. A
// quota is rounded down, unlike Go's own GOMAXPROCS: a thread too many would be stopped in the midst of its work, and
// the others would wait for it.
func Threads(n int) (int, error) {
	if n < 0 || n > MaxThreads {
		return 0, usage.Errorf("%d threads, want 1 to %d", n, MaxThreads)
	}
	if n == 0 {
		n = min(runtime.GOMAXPROCS(0), MaxThreads)
		if quota := cgroup.CPUs(); quota > 0 {
			n = min(n, max(int(quota), 1))
		}
	}
	return n, nil
}
