package data

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/picture"
)

// stamped loads images that tell where they come from, after a pause that makes workers overtake each other.
func stamped(pause bool) func(context.Context, []float32, int, int) (int, error) {
	return func(_ context.Context, dst []float32, epoch, position int) (int, error) {
		if pause {
			time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
		}
		for i := range dst {
			dst[i] = float32(1000*epoch + 10*position + i)
		}
		return 100*epoch + position, nil
	}
}

// TestLoaderOrder: whatever the number of workers and wherever it begins, the batches are those of the positions in
// their order, over epochs.
func TestLoaderOrder(t *testing.T) {
	for _, workers := range []int{1, 2, 7} {
		for _, ahead := range []int{0, 1, 5} {
			for _, first := range [][2]int{{0, 0}, {1, 2}, {0, 3}} {
				o := LoaderOptions{Items: 11, Batch: 3, Workers: workers,
					Ahead: ahead, Epochs: 4, Floats: 2, Load: stamped(true)}
				l := NewLoader(o, first[0], first[1])
				epoch, batch := first[0], first[1]
				for {
					if batch == 3 { // 11/3
						epoch, batch = epoch+1, 0
					}
					images, labels, err := l.Next(t.Context())
					if epoch == 4 {
						if err != io.EOF {
							t.Fatalf("after the last epoch: %v, %v", labels, err)
						}
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					for i := range 3 {
						p := 3*batch + i
						if want := float32(1000*epoch + 10*p); images[2*i] != want ||
							images[2*i+1] != want+1 || labels[i] != int32(100*epoch+p) {
							t.Fatalf("%d workers, epoch %d, batch %d: %v %v", workers, epoch, batch, images, labels)
						}
					}
					if len(images) != 6 || len(labels) != 3 {
						t.Fatalf("%d numbers, %d labels", len(images), len(labels))
					}
					batch++
				}
				l.Close()
			}
		}
	}
}

// TestLoaderPictures loads a folder with damaged files, augmented, in repeated order: every bit is the same whatever
// the number of workers, and from wherever a run goes on.
func TestLoaderPictures(t *testing.T) {
	const n, batch, side = 10, 3, 6
	d, _ := broken(t, n, 4, 8)
	run := func(workers, firstEpoch, firstBatch int) (images []float32, labels []int32) {
		p := picture.DefaultPreprocessor(side, side, 3)
		g, err := NewAugmenter(Augment{Shift: 1, EraseProb: 0.5, EraseMax: 0.3},
			Tolerant(d, 0.2, nil), p, 3, side, side)
		if err != nil {
			t.Fatal(err)
		}
		order := NewSequence(9, n, 2)
		l := NewLoader(LoaderOptions{Items: n, Batch: batch,
			Workers: workers, Ahead: 2, Epochs: 3, Floats: 3 * side * side,
			Load: func(_ context.Context, dst []float32, epoch, position int) (int, error) {
				return g.Load(dst, order.At(epoch, position), Rand(9, uint64(epoch), uint64(position)))
			}}, firstEpoch, firstBatch)
		defer l.Close()
		for {
			x, y, err := l.Next(t.Context())
			if err == io.EOF {
				return images, labels
			} else if err != nil {
				t.Fatal(err)
			}
			images, labels = append(images, x...), append(labels, y...)
		}
	}
	images, labels := run(1, 0, 0)
	if len(labels) != 3*9 {
		t.Fatalf("%d labels", len(labels))
	}
	for range 3 {
		x, y := run(4, 0, 0)
		if !slices.Equal(x, images) || !slices.Equal(y, labels) {
			t.Fatal("four workers load otherwise than one")
		}
		const at = 4 * batch // the second batch of the second epoch
		if x, y = run(3, 1, 1); !slices.Equal(x, images[at*len(images)/len(labels):]) || !slices.Equal(y, labels[at:]) {
			t.Fatal("a resumed run loads otherwise")
		}
	}
}

// TestLoaderBound: no more than Ahead batches are loaded before they are asked for, and not into the one that is given
// out.
func TestLoaderBound(t *testing.T) {
	var loads atomic.Int64
	o := LoaderOptions{Items: 100, Batch: 4, Workers: 3, Ahead: 2,
		Floats: 1, Load: func(_ context.Context, dst []float32, epoch, position int) (int, error) {
			loads.Add(1)
			dst[0] = float32(position)
			return 0, nil
		}}
	l := NewLoader(o, 0, 0)
	defer l.Close()
	settle := func(want int64) {
		t.Helper()
		for range 200 {
			if loads.Load() >= want {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond)
		if got := loads.Load(); got != want {
			t.Fatalf("%d images loaded, want %d", got, want)
		}
	}
	settle(12) // three buffers
	images, _, err := l.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	settle(12) // the one that is held is not filled again
	if !slices.Equal(images, []float32{0, 1, 2, 3}) {
		t.Fatal(images)
	}
	if _, _, err = l.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	settle(16)
}

// TestLoaderErrors: the first position's error is the one reported, after the sound batches, and again and again.
func TestLoaderErrors(t *testing.T) {
	bad := errors.New("no such picture")
	for range 20 {
		l := NewLoader(LoaderOptions{Items: 12, Batch: 4, Workers: 4,
			Ahead: 3, Floats: 1, Load: func(_ context.Context, dst []float32, epoch, position int) (int, error) {
				if position == 6 { // the slower of two failures
					time.Sleep(time.Millisecond)
				}
				if position == 6 || position == 7 || position == 9 {
					return 0, fmt.Errorf("%w %d", bad, position)
				}
				return position, nil
			}}, 0, 0)
		if _, labels, err := l.Next(t.Context()); err != nil || !slices.Equal(labels, []int32{0, 1, 2, 3}) {
			t.Fatal(labels, err)
		}
		for range 2 {
			if _, _, err := l.Next(t.Context()); !errors.Is(err, bad) ||
				!strings.Contains(err.Error(), "epoch 1, image 7: no such picture 6") {
				t.Fatal(err)
			}
		}
		l.Close()
	}
	for _, o := range []LoaderOptions{
		{Items: 4, Batch: 2, Workers: 1, Floats: 1},
		{Items: 4, Batch: 5, Workers: 1, Floats: 1, Load: stamped(false)},
		{Items: 4, Batch: 2, Floats: 1, Load: stamped(false)},
		{Items: 4, Batch: 2, Workers: 1, Load: stamped(false)},
		{Items: 4, Batch: 0, Workers: 1, Floats: 1, Load: stamped(false)},
	} {
		l := NewLoader(o, 0, 0)
		_, _, err := l.Next(t.Context())
		filetest.WantError(t, err, "loader: ")
		l.Close()
	}
	l := NewLoader(LoaderOptions{Items: 4, Batch: 2, Workers: 1, Floats: 1, Load: stamped(false)}, 0, 3)
	_, _, err := l.Next(t.Context())
	filetest.WantError(t, err, "batch 3 of epoch 0, of 2 batches")
	l.Close()
}

// TestLoaderStops: a context that ends loses no batch, and Close leaves nothing running, also when a Load waits for its
// context.
func TestLoaderStops(t *testing.T) {
	before := runtime.NumGoroutine()
	gate := make(chan struct{})
	var running atomic.Int64
	l := NewLoader(LoaderOptions{Items: 8, Batch: 2, Workers: 2,
		Ahead: 1, Floats: 1, Load: func(ctx context.Context, dst []float32, epoch, position int) (int, error) {
			running.Add(1)
			defer running.Add(-1)
			if position < 2 {
				<-gate
			} else if position >= 4 {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return position, nil
		}}, 0, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := l.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	close(gate)
	for want := int32(0); want < 4; want += 2 {
		if _, labels, err := l.Next(t.Context()); err != nil || labels[0] != want || labels[1] != want+1 {
			t.Fatal(labels, err)
		}
	}
	l.Close()
	l.Close()
	if _, _, err := l.Next(t.Context()); err == nil {
		t.Error("a closed loader gives batches")
	}
	if running.Load() != 0 {
		t.Error("Close left a Load running")
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// TestLoaderAllocates: nothing, once it runs.
func TestLoaderAllocates(t *testing.T) {
	l := NewLoader(LoaderOptions{Items: 64, Batch: 8, Workers: 2, Ahead: 2, Floats: 4, Load: stamped(false)}, 0, 0)
	defer l.Close()
	ctx := context.Background()
	if n := testing.AllocsPerRun(200, func() {
		if _, _, err := l.Next(ctx); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}
