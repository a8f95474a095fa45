package tools

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestSchedule: constant gaps are equal; Poisson's have the distribution that they should, and follow from the seed.
func TestSchedule(t *testing.T) {
	s := newSchedule(Constant, 400, 1, 0)
	for i := range 100000 {
		if got, want := s.next(), time.Duration(i+1)*2500*time.Microsecond; got != want {
			t.Fatalf("request %d at %v, want %v", i, got, want)
		}
	}
	const n, rate = 100000, 50.0
	times := func(seed, stream uint64) (at []time.Duration) {
		s := newSchedule(Poisson, rate, seed, stream)
		for range n {
			at = append(at, s.next())
		}
		return at
	}
	at := times(1, 2)
	if !slices.Equal(at, times(1, 2)) || slices.Equal(at, times(1, 3)) || slices.Equal(at, times(2, 2)) {
		t.Error("a schedule does not follow from seed and stream")
	}
	gaps := make([]float64, n) // in mean gaps
	last := time.Duration(0)
	for i, a := range at {
		gaps[i], last = (a-last).Seconds()*rate, a
	}
	if !near(at[n-1].Seconds(), n/rate, 0.015) { // 4.7 standard deviations
		t.Errorf("%d requests at %v a second took %v", n, rate, at[n-1])
	}
	follows := 0.0 // whether a long gap follows a long one
	for i := range n - 1 {
		follows += (gaps[i] - 1) * (gaps[i+1] - 1) / n
	}
	if math.Abs(follows) > 0.02 {
		t.Errorf("neighbouring gaps correlate: %v", follows)
	}
	slices.Sort(gaps)
	distance := 0.0 // Kolmogorov and Smirnov's, from the exponential distribution
	for i, g := range gaps {
		distance = max(distance, math.Abs(1-math.Exp(-g)-(float64(i)+0.5)/n))
	}
	if limit := 1.95 / math.Sqrt(n); distance > limit { // 0.1 %
		t.Errorf("gaps are %v from exponential, want %v at most", distance, limit)
	}
}

// TestHistogram holds quantiles against those of sorted values.
func TestHistogram(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, scale := range []float64{300, 1e5, 1e8, 1e12} {
		var h histogram
		var all []float64
		for range 20000 {
			v := time.Duration(scale * math.Exp(rng.NormFloat64()))
			h.add(v)
			all = append(all, float64(v)/1e6)
		}
		slices.Sort(all)
		for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
			want := all[max(int(math.Ceil(q*20000-1e-9))-1, 0)]
			if got := h.quantile(q); math.Abs(got-want) > 0.004*want+1e-9 {
				t.Errorf("scale %v: quantile %v is %v, want %v", scale, q, got, want)
			}
		}
		sum := 0.0
		for _, v := range all {
			sum += v
		}
		if !near(h.mean(), sum/20000, 1e-9) || h.max.Seconds()*1000 != all[19999] {
			t.Errorf("scale %v: mean %v, max %v", scale, h.mean(), h.max)
		}
	}
	var h histogram
	if !math.IsNaN(h.quantile(0.5)) || !math.IsNaN(h.mean()) {
		t.Error("nothing has a median")
	}
	h.add(-time.Second)
	h.add(1000 * time.Hour)
	if h.quantile(0.5) != 0 || h.max != 1000*time.Hour || h.quantile(1) > float64(25*time.Hour)/1e6 {
		t.Errorf("%v, %v", h.quantile(0.5), h.quantile(1))
	}
	for i := range histogramSize { // every slot's middle lies in it
		if got := slot(time.Duration(math.Ceil(middle(i)))); got != min(i, slot(maxObserved)) {
			t.Fatalf("the middle of slot %d lies in slot %d", i, got)
		}
	}
}

// TestHistogramInterval: of many samples about 95 % have the true quantile in their interval.
func TestHistogramInterval(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	want, covered := math.Log(100), 0 // p99 of the exponential distribution
	for range 400 {
		var h histogram
		for range 2000 {
			h.add(time.Duration(1e6 * rng.ExpFloat64()))
		}
		if low, high := h.interval(0.99); low <= want && want <= high {
			covered++
		}
	}
	if covered < 370 || covered > 398 {
		t.Errorf("%d of 400 intervals hold the quantile, want about 380", covered)
	}
	var h histogram
	h.add(time.Millisecond)
	if low, high := h.interval(0.99); low != 1 || high != 1 {
		t.Errorf("of one value: %v to %v", low, high)
	}
}

// TestAlarm: neither alarm goes off early, and the end of the context ends the wait.
func TestAlarm(t *testing.T) {
	for name, a := range map[string]alarm{"system": newAlarm(), "timer": newTimerAlarm()} {
		for _, d := range []time.Duration{-time.Second, 0, 50 * time.Microsecond, 3 * time.Millisecond} {
			at := time.Now().Add(d)
			if err := a.wait(t.Context(), at); err != nil || time.Now().Before(at) {
				t.Errorf("%s: %v: %v, %v too early", name, d, err, time.Until(at))
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, stop)
		begin := time.Now()
		if err := a.wait(ctx, begin.Add(time.Hour)); !errors.Is(err, context.Canceled) || time.Since(begin) > time.Minute {
			t.Errorf("%s: %v after %v", name, err, time.Since(begin))
		}
		if err := a.wait(ctx, begin); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v of a time that is over", name, err)
		}
		a.close()
	}
}
