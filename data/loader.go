package data

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// LoaderOptions say what a Loader brings and how far it may run ahead.
type LoaderOptions struct {
	Items   int // positions of an epoch; those beyond the last whole batch are left out
	Batch   int // images of a batch, 1 to Items
	Workers int // goroutines that load; they change nothing but the speed
	Ahead   int // batches that are loaded before they are asked for, at least 1
	Epochs  int // Next gives io.EOF after so many, counted from epoch 0; 0: no end
	Floats  int // numbers of an image, C·H·W
	// Load writes the image at a position, 0 ≤ position < Items, of an epoch to dst [Floats] and returns its label. It
	// is called from several goroutines at once, in no particular order, and must depend on nothing but epoch and
	// position. ctx ends when the Loader is closed.
	Load func(ctx context.Context, dst []float32, epoch, position int) (label int, err error)
}

// check says which option is out of range.
func (o *LoaderOptions) check(firstEpoch, firstBatch int) error {
	switch {
	case o.Load == nil:
		return errors.New("no function that loads")
	case o.Items < 1 || o.Batch < 1 || o.Batch > o.Items:
		return fmt.Errorf("batches of %d images, of %d in an epoch", o.Batch, o.Items)
	case o.Workers < 1 || o.Ahead < 0 || o.Epochs < 0 || o.Floats < 1:
		return fmt.Errorf("%d workers, %d batches ahead, %d epochs, %d numbers an image",
			o.Workers, o.Ahead, o.Epochs, o.Floats)
	case firstEpoch < 0 || firstBatch < 0 || firstBatch > o.Items/o.Batch:
		return fmt.Errorf("begin at batch %d of epoch %d, of %d batches", firstBatch, firstEpoch, o.Items/o.Batch)
	}
	return nil
}

// Loader brings the batches of a training run in their order: batch b of an epoch is positions b·Batch … (b+1)·Batch−1.
// Workers load ahead, an image at a time, into Ahead+1 buffers, and no more memory than that is ever taken. What Next
// gives does not depend on the number of workers.
//
// Next and Close are for one goroutine.
type Loader struct {
	o      LoaderOptions
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wait   sync.WaitGroup

	free  chan *loaded // buffers that may be filled
	begun chan *loaded // buffers being filled or full, in the order of the batches; closed after the last epoch
	tasks chan loading

	held *loaded // what the last Next gave out
	next *loaded // taken from begun by a Next whose context ended before it was full
	err  error   // what Next says from now on
}

// loaded is a batch's buffer.
type loaded struct {
	epoch, batch int
	images       []float32     // [Batch, Floats]
	labels       []int32       // [Batch]
	errs         []error       // [Batch], what Load said
	left         atomic.Int64  // images that are not there yet
	full         chan struct{} // one message when left has become 0
}

// loading is one image's work.
type loading struct {
	into *loaded
	i    int // image of the batch
}

// NewLoader starts to load at a batch of an epoch, where a resumed run goes on (firstBatch may be Items/Batch: the next
// epoch's begin), and goes on into the following epochs by itself. An option out of range is what the first Next says.
// The Loader must be closed.
func NewLoader(o LoaderOptions, firstEpoch, firstBatch int) *Loader {
	l := &Loader{o: o}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if err := o.check(firstEpoch, firstBatch); err != nil {
		l.err = fmt.Errorf("loader: %w", err)
		return l
	}
	buffers := max(o.Ahead, 1) + 1
	l.free, l.begun = make(chan *loaded, buffers), make(chan *loaded, buffers)
	l.tasks = make(chan loading)
	for range buffers {
		l.free <- &loaded{images: make([]float32, o.Batch*o.Floats), labels: make([]int32, o.Batch),
			errs: make([]error, o.Batch), full: make(chan struct{}, 1)}
	}
	l.wait.Go(func() { l.dispatch(firstEpoch, firstBatch) })
	for range o.Workers {
		l.wait.Go(l.work)
	}
	return l
}

// dispatch hands out the images of one batch after the other as buffers become free.
func (l *Loader) dispatch(epoch, batch int) {
	defer close(l.tasks)
	for perEpoch := l.o.Items / l.o.Batch; ; batch++ {
		if batch >= perEpoch {
			epoch, batch = epoch+1, 0
		}
		if l.o.Epochs > 0 && epoch >= l.o.Epochs {
			close(l.begun)
			return
		}
		var b *loaded
		select {
		case b = <-l.free:
		case <-l.ctx.Done():
			return
		}
		b.epoch, b.batch = epoch, batch
		b.left.Store(int64(l.o.Batch))
		l.begun <- b // has room for all buffers
		for i := range l.o.Batch {
			select {
			case l.tasks <- loading{b, i}:
			case <-l.ctx.Done():
				return
			}
		}
	}
}

// work loads images until there are no more.
func (l *Loader) work() {
	for t := range l.tasks {
		b, n := t.into, l.o.Floats
		position := b.batch*l.o.Batch + t.i
		label, err := l.o.Load(l.ctx, b.images[t.i*n:(t.i+1)*n:(t.i+1)*n], b.epoch, position)
		b.labels[t.i], b.errs[t.i] = int32(label), err
		if b.left.Add(-1) == 0 {
			b.full <- struct{}{}
		}
	}
}

// Next gives the next batch: images [Batch, Floats], labels [Batch]. Both belong to the loader again after the next
// call of Next.
//
// Where Load failed, the error names epoch and position, and every later Next gives it again; the batches before come
// whole. When ctx ends first, its error is returned and the batch is not lost: another Next gives it. After the last of
// Epochs it is io.EOF.
func (l *Loader) Next(ctx context.Context) (images []float32, labels []int32, err error) {
	if err := cmp.Or(l.err, ctx.Err()); err != nil {
		return nil, nil, err
	}
	if l.held != nil {
		l.free <- l.held // has room for all buffers
		l.held = nil
	}
	if l.next == nil {
		select {
		case b, ok := <-l.begun:
			if !ok {
				l.err = io.EOF
				return nil, nil, l.err
			}
			l.next = b
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	select {
	case <-l.next.full:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	b := l.next
	l.next = nil
	for i, err := range b.errs {
		if err != nil { // the first position's, whoever was faster
			l.err = fmt.Errorf("epoch %d, image %d: %w", b.epoch+1, b.batch*l.o.Batch+i+1, err)
			l.cancel() // nobody will ask for what comes after
			return nil, nil, l.err
		}
	}
	l.held = b
	return b.images, b.labels, nil
}

// Close stops the workers and waits for them, so that no Load runs any more. Closing twice is allowed.
func (l *Loader) Close() {
	l.cancel()
	l.wait.Wait()
	if l.err == nil {
		l.err = errors.New("loader: closed")
	}
	l.held, l.next = nil, nil
}
