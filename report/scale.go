package report

import (
	"fmt"
	"math"
	"strconv"
)

// scale maps values lo..hi to coordinates from..to, evenly or by logarithm.
type scale struct {
	lo, hi, from, to float64
	log              bool
}

// newScale returns a scale whose ends enclose lo..hi with a little room: they lie
// on a half step of the axis.
func newScale(lo, hi, from, to float64, log bool) scale {
	s := scale{lo, hi, from, to, log}
	if log {
		s.lo, s.hi = math.Pow(10, math.Floor(math.Log10(lo))), math.Pow(10, math.Ceil(math.Log10(hi)))
		// A narrow range would waste most of a decade.
		if lo > 2*s.lo && hi/lo < 50 {
			s.lo = lo / 1.2
		}
		if s.hi > 2*hi && hi/lo < 50 {
			s.hi = hi * 1.2
		}
		if !(s.lo < s.hi) {
			s.lo, s.hi = lo/2, hi*2
		}
		return s
	}
	if lo == hi {
		// One value only: it stands in the middle, or on the axis if it is zero.
		pad := math.Abs(lo) * 0.1
		if pad == 0 {
			s.hi = 1
			return s
		}
		s.lo, s.hi = lo-pad, hi+pad
	}
	if step := niceStep(s.hi-s.lo, 5); step > 0 && finite(step) {
		step /= 2
		s.lo, s.hi = min(s.lo, math.Floor(s.lo/step+1e-9)*step), max(s.hi, math.Ceil(s.hi/step-1e-9)*step)
	}
	return s
}

// at returns the coordinate of v.
func (s scale) at(v float64) float64 {
	lo, hi := s.lo, s.hi
	if s.log {
		v, lo, hi = math.Log(v), math.Log(lo), math.Log(hi)
	}
	// Halving first keeps the differences finite for values near the largest float.
	t := (v/2 - lo/2) / (hi/2 - lo/2)
	return s.from + min(max(t, 0), 1)*(s.to-s.from)
}

// scaleTick is a round value on a scale whose values are step apart (0: not evenly).
type scaleTick struct{ v, step float64 }

// label prints the value with as many digits as tell it from its neighbours; a
// share may be printed in percent.
func (t scaleTick) label(percent bool) string {
	if percent {
		return scaleTick{100 * t.v, 100 * t.step}.label(false) + "%"
	}
	a := math.Abs(t.v)
	coarse := t.step >= a/1000 && (a >= 1e4 || t.step < 1e-3)
	if t.step < 1e-9 || t.step > 1e9 || coarse {
		return trimNumber(t.v)
	}
	return strconv.FormatFloat(t.v, 'f', max(0, int(math.Ceil(-math.Log10(t.step)-1e-9))), 64)
}

// ticks returns about n round values inside the scale.
func (s scale) ticks(n int) []scaleTick {
	var out []scaleTick
	if s.log {
		steps := []float64{1, 2, 5}
		if s.hi/s.lo > 1e3 {
			steps = steps[:1]
		}
		decade := math.Floor(math.Log10(s.lo))
		skip := math.Ceil((math.Log10(s.hi) - decade) / 8)
		for e := decade; e <= math.Log10(s.hi)+1e-9; e += max(skip, 1) {
			for _, m := range steps {
				if v := m * math.Pow(10, e); v >= s.lo*(1-1e-9) && v <= s.hi*(1+1e-9) {
					out = append(out, scaleTick{v, 0})
				}
			}
		}
		return out
	}
	step := niceStep(s.hi-s.lo, n)
	if !(step > 0) || !finite(step) {
		return nil
	}
	first := math.Ceil(s.lo/step - 1e-9)
	for i := range 2 * n {
		v := (first + float64(i)) * step
		if v > s.hi+step*1e-9 {
			break
		}
		if math.Abs(v) < step*1e-9 {
			v = 0
		}
		out = append(out, scaleTick{v, step})
	}
	return out
}

// niceStep returns 1, 2 or 5 times a power of ten so that width is n steps or a
// few more.
func niceStep(width float64, n int) float64 {
	raw := width / float64(n)
	unit := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if raw <= m*unit*1.25 {
			return m * unit
		}
	}
	return 10 * unit
}

// trimNumber prints v with four digits at most and no trailing zeros, large and
// small ones in a short form: 0.25, 1200, 15k, 2e-05.
func trimNumber(v float64) string {
	switch a := math.Abs(v); {
	case !finite(v):
		return dash
	case a >= 1e15:
		return strconv.FormatFloat(v, 'g', 3, 64)
	case a >= 1e9:
		return trimNumber(v/1e9) + "G"
	case a >= 1e6:
		return trimNumber(v/1e6) + "M"
	case a >= 1e4:
		return trimNumber(v/1e3) + "k"
	case a != 0 && a < 1e-3:
		return strconv.FormatFloat(v, 'g', 2, 64)
	default:
		f, _ := strconv.ParseFloat(fmt.Sprintf("%.4g", v), 64)
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
}
