package serve

import (
	"context"
	"runtime"
	"sync"

	"golang.org/x/sync/semaphore"
)

// decoders bounds the pictures that are decoded at a time: their number, for the sake of the threads, and their pixels,
// for the sake of memory, of which one takes up to eight bytes. Small pictures wait for small ones only: a client whose
// pictures are as large as they may be holds up nobody but others like it.
type decoders struct {
	small    chan struct{}
	large    *semaphore.Weighted // of pixels
	capacity int64
	share    int64 // the least that a large picture counts for, so that no more than so many are decoded

	mu      sync.Mutex
	live    int64 // pixels of large pictures that are decoded now
	garbage int64 // and of those that were, since the last collection
}

// smallPicture is the most pixels that a small picture has; roomForLarge is how many each thread adds to those that may
// be decoded at a time.
const (
	smallPicture = 1 << 20
	roomForLarge = 16 << 20
)

// newDecoders lets pictures take twice the memory in bytes that bodies may, but one that is as large as may be gets in.
func newDecoders(threads int, maxPixels, memory int64) *decoders {
	d := &decoders{small: make(chan struct{}, threads)}
	d.capacity = max(maxPixels, min(int64(threads)*roomForLarge, 2*memory/8))
	d.large = semaphore.NewWeighted(d.capacity)
	d.share = d.capacity / int64(threads)
	return d
}

// wait waits until a picture of so many pixels may be decoded. done is to be called when it is.
func (d *decoders) wait(ctx context.Context, pixels int64) (done func(), err error) {
	if pixels <= smallPicture {
		select {
		case d.small <- struct{}{}:
			return func() { <-d.small }, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	weight := min(max(pixels, d.share), d.capacity)
	if err := d.large.Acquire(ctx, weight); err != nil {
		return nil, err
	}
	d.clean(pixels)
	return func() {
		d.mu.Lock()
		d.live -= pixels
		d.garbage += pixels
		d.mu.Unlock()
		d.large.Release(weight)
	}, nil
}

// clean collects garbage before a picture comes that has no room beside it. By itself the collector begins when such an
// amount of memory has been allocated, which can be too late.
func (d *decoders) clean(pixels int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.garbage > 0 && d.live+d.garbage+pixels > d.capacity {
		runtime.GC()
		d.garbage = 0
	}
	d.live += pixels
}
