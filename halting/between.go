package halting

import (
	"maps"
	"reflect"
)

// Between returns the configuration that lies part of the way from a to b, 0 to 1: its tuned constant does, and that of
// an exit which both have. It returns false where a and b differ in anything else, or where one of them never exits:
// nothing is known then of what lies between them.
func Between(a, b Config, part float64) (Config, bool) {
	d, err := a.Descriptor()
	if err != nil || a.Scheme != b.Scheme {
		return a, false
	}
	c := a
	for _, key := range []string{d.Tune, d.Exit} {
		from, to := a.Number(key), b.Number(key)
		if key == d.Exit && (from == 0) != (to == 0) {
			return a, false
		}
		if from != to {
			c, b = c.With(key, from+(to-from)*part), b.With(key, from)
		}
	}
	return c, maps.EqualFunc(a.Constants, b.Constants, func(x, y any) bool { return reflect.DeepEqual(x, y) })
}
