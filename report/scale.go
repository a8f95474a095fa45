package report

import (
	"fmt"
	"math"
	"strconv"
)

// span is a range of values; it is empty as nothing has it.
type span struct{ lo, hi float64 }

var nothing = span{math.Inf(1), math.Inf(-1)}

// add widens the span.
func (s *span) add(values ...float64) {
	for _, v := range values {
		s.lo, s.hi = min(s.lo, v), max(s.hi, v)
	}
}

// scale maps values lo..hi evenly to coordinates from..to.
type scale struct{ lo, hi, from, to float64 }

// newScale returns a scale around s that begins and ends on a half step of the axis; 0..1 for an empty span.
func newScale(s span, from, to float64) scale {
	if s == nothing {
		s = span{}
	}
	if s.lo == s.hi {
		// One value only: it stands in the middle, or on the axis if it is zero.
		pad := math.Abs(s.lo) * 0.1
		if pad == 0 {
			return scale{s.lo, s.lo + 1, from, to}
		}
		s.lo, s.hi = s.lo-pad, s.hi+pad
	}
	if step := niceStep(s.hi-s.lo, 5) / 2; step > 0 && finite(step) {
		s.add(math.Floor(s.lo/step+1e-9)*step, math.Ceil(s.hi/step-1e-9)*step)
	}
	return scale{s.lo, s.hi, from, to}
}

// at returns the coordinate of v.
func (s scale) at(v float64) float64 {
	// Halving first keeps the differences finite for values near the largest float.
	t := (v/2 - s.lo/2) / (s.hi/2 - s.lo/2)
	return s.from + min(max(t, 0), 1)*(s.to-s.from)
}

// ticks returns about n round values inside the scale with their coordinates; shares may be labelled in percent.
func (s scale) ticks(n int, percent bool) []tick {
	step := niceStep(s.hi-s.lo, n)
	if !(step > 0) || !finite(step) {
		return nil
	}
	var out []tick
	first := math.Ceil(s.lo/step - 1e-9)
	for i := range 2 * n {
		v := (first + float64(i)) * step
		if v > s.hi+step*1e-9 {
			break
		}
		if math.Abs(v) < step*1e-9 {
			v = 0
		}
		text := tickLabel(v, step)
		if percent {
			text = tickLabel(100*v, 100*step) + "%"
		}
		out = append(out, tick{xy(s.at(v)), text})
	}
	return out
}

// powers returns the values 1, 2 and 5 times a power of ten of a scale of decimal logarithms; where those would be more
// than eight, powers of ten alone, and some of them.
func (s scale) powers() []tick {
	mantissas, every := []float64{1, 2, 5}, 1
	if decades := s.hi - s.lo; decades > 8.0/3 {
		mantissas, every = mantissas[:1], 1+int(decades/8)
	}
	var out []tick
	for e := math.Floor(s.lo); e <= s.hi; e++ {
		if int(e)%every != 0 {
			continue
		}
		for _, m := range mantissas {
			if at := e + math.Log10(m); at > s.lo-1e-9 && at < s.hi+1e-9 {
				out = append(out, tick{xy(s.at(at)), trimNumber(m * math.Pow(10, e))})
			}
		}
	}
	return out
}

// tickLabel prints a value with as many digits as tell it from its neighbours, which are step apart.
func tickLabel(v, step float64) string {
	a := math.Abs(v)
	coarse := step >= a/1000 && (a >= 1e4 || step < 1e-3)
	if step < 1e-9 || step > 1e9 || coarse {
		return trimNumber(v)
	}
	return strconv.FormatFloat(v, 'f', max(0, int(math.Ceil(-math.Log10(step)-1e-9))), 64)
}

// niceStep returns 1, 2 or 5 times a power of ten so that width is n steps or a few more.
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

// trimNumber prints v with four digits at most and no trailing zeros, in a short form: 0.25, 1200, 15k, 2e-05.
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
