package adavit

import (
	"context"
	"image"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/adavit/adavit/internal/turns"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
)

// benchClassifier has random weights and is closed with the benchmark.
func benchClassifier(b *testing.B, variant string, o Options) *Classifier {
	config, err := vit.Variant(variant)
	if err != nil {
		b.Fatal(err)
	}
	m := &Model{Params: vit.Initialize(config, 1, 0), Preprocessor: picture.DefaultPreprocessor(224, 224, 3)}
	c, err := NewClassifier(m, o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	return c
}

// BenchmarkConcurrent compares 64 goroutines that classify one image at a time with ClassifyAll on the same images, in
// turns: DeiT-Ti, int8, two threads. "ratio" is the median of the rounds' ratios; "B/caller" is what the heap grows by
// for each of the 64, whose weights are one copy of "weights-B" bytes.
func BenchmarkConcurrent(b *testing.B) {
	const callers, images, rounds = 64, 256, 9
	c := benchClassifier(b, "deit-tiny", Options{Threads: 2, Precision: Int8})
	weights := c.packed.Bytes() // before any engine has run
	r := rand.New(rand.NewPCG(1, 2))
	list := make([]image.Image, images)
	for i := range list {
		img := image.NewNRGBA(image.Rect(0, 0, 256, 256))
		for k := range img.Pix {
			img.Pix[k] = byte(r.Uint32()) | 0xff*b2i(k%4 == 3)
		}
		list[i] = img
	}
	together := func() float64 {
		begin := time.Now()
		if _, err := c.ClassifyAll(context.Background(), list); err != nil {
			b.Fatal(err)
		}
		return images / time.Since(begin).Seconds()
	}
	apart := func() float64 {
		var next atomic.Int64
		var wg sync.WaitGroup
		begin := time.Now()
		for range callers {
			wg.Go(func() {
				for i := int(next.Add(1)) - 1; i < images; i = int(next.Add(1)) - 1 {
					if _, err := c.Classify(context.Background(), list[i]); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		return images / time.Since(begin).Seconds()
	}
	together() // a warm-up
	before := heap()
	apart()
	grown := heap() - before
	for b.Loop() {
		rates := [2][]float64{}
		err := turns.Play(context.Background(), rounds, 2, func(_, i int) error {
			rates[i] = append(rates[i], []func() float64{together, apart}[i]())
			return nil
		}, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(turns.Median(rates[0]), "all-images/s")
		b.ReportMetric(turns.Median(rates[1]), "apart-images/s")
		b.ReportMetric(turns.MedianRatio(rates[1], rates[0]), "ratio")
	}
	b.ReportMetric(float64(grown)/callers, "B/caller")
	b.ReportMetric(float64(weights), "weights-B")
}

// BenchmarkCancel ends calls of DeiT-S in f32 in the middle: "return-ms" is how long after that Classify returns,
// "free-ms" how long until the next call could begin, the worst of ten each, and "block-ms" what one block takes.
func BenchmarkCancel(b *testing.B) {
	c := benchClassifier(b, "deit-small", Options{Threads: 1, Precision: F32})
	img := image.NewGray(image.Rect(0, 0, 224, 224))
	call := func(ctx context.Context) (time.Time, error) {
		_, err := c.Classify(ctx, img)
		return time.Now(), err
	}
	call(context.Background())
	for b.Loop() {
		begin := time.Now()
		end, _ := call(context.Background())
		whole := end.Sub(begin)
		var returned, free time.Duration
		for i := range 10 {
			ctx, cancel := context.WithTimeout(context.Background(), whole*time.Duration(i+3)/15)
			deadline, _ := ctx.Deadline()
			at, err := call(ctx)
			if err == nil {
				b.Fatal("the call was over before its end")
			}
			cancel()
			returned = max(returned, at.Sub(deadline))
			end, _ := call(context.Background())
			free = max(free, end.Sub(deadline)-whole)
		}
		b.ReportMetric(returned.Seconds()*1000, "return-ms")
		b.ReportMetric(free.Seconds()*1000, "free-ms")
		b.ReportMetric(whole.Seconds()*1000/float64(c.config.Layers), "block-ms")
	}
}

func b2i(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// heap returns the bytes that are in use after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestNothingLeft: after 10 000 calls, a tenth of them cancelled, no memory and no goroutine is left over.
func TestNothingLeft(t *testing.T) {
	config, err := vit.Variant("micro")
	if err != nil {
		t.Fatal(err)
	}
	m := &Model{Params: vit.Initialize(config, 1, 0),
		Preprocessor: picture.DefaultPreprocessor(config.Height, config.Width, config.Channels)}
	c := newTestClassifier(t, m, 2)
	img := image.NewGray(image.Rect(0, 0, 16, 16))
	call := func(n int) {
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for i := range n / 16 {
					ctx, cancel := context.WithCancel(context.Background())
					if i%10 == 0 {
						go cancel()
					}
					_, err := c.Classify(ctx, img)
					if err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					cancel()
				}
			})
		}
		wg.Wait()
	}
	call(2000)
	goroutines, memory := runtime.NumGoroutine(), heap()
	call(10000)
	for range 100 {
		if runtime.NumGoroutine() <= goroutines {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines before, %d after", goroutines, n)
	}
	if grown := heap() - memory; grown > 1<<20 {
		t.Errorf("10 000 calls leave %d bytes", grown)
	}
}
