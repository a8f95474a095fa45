package serve

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestDecoders: pictures wait for their like only, and those under way have no more pixels than there is room for.
func TestDecoders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const threads, most = 2, 50_000_000
		d := newDecoders(threads, most, 1<<30)
		var pixels, running, peak, peakRunning atomic.Int64
		var wg sync.WaitGroup
		for i := range 40 { // for as long as there are large ones, each takes a second
			size := []int64{most, 20_000_000, smallPicture + 1}[i%3]
			wg.Go(func() {
				done, err := d.wait(t.Context(), size)
				if err != nil {
					t.Error(err)
					return
				}
				defer done()
				peak.Store(max(peak.Load(), pixels.Add(size)))
				peakRunning.Store(max(peakRunning.Load(), running.Add(1)))
				time.Sleep(time.Second)
				pixels.Add(-size)
				running.Add(-1)
			})
		}
		time.Sleep(500 * time.Millisecond)
		begin := time.Now()
		for range 10 {
			done, err := d.wait(t.Context(), smallPicture)
			if err != nil {
				t.Fatal(err)
			}
			done()
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("small pictures waited %v for large ones", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := d.wait(ctx, most); err == nil {
			t.Error("a large one did not wait")
		}
		wg.Wait()
		if peak.Load() > most || peakRunning.Load() > threads {
			t.Errorf("%d pixels, %d pictures at a time", peak.Load(), peakRunning.Load())
		}
		// One that is larger than all the room there is, which no limit of pixels allows, waits for all of it.
		done, err := d.wait(t.Context(), 10*most)
		if err != nil {
			t.Fatal(err)
		}
		done()
	})
	for _, c := range []struct {
		threads                int
		pixels, memory, expect int64
	}{{1, 50e6, 1 << 30, 50e6}, {8, 50e6, 1 << 30, 8 * roomForLarge}, {8, 50e6, 64 << 20, 50e6},
		{8, 1e6, 64 << 20, 16 << 20}} {
		if got := newDecoders(c.threads, c.pixels, c.memory).capacity; got != c.expect {
			t.Errorf("%+v: %d pixels", c, got)
		}
	}
}
