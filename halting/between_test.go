package halting

import (
	"reflect"
	"testing"
)

func TestBetween(t *testing.T) {
	token := func(center, exit float64) Config { return with("token", "gate_center", center, "exit", exit) }
	for _, v := range []struct {
		a, b Config
		part float64
		want Config // zero: none
	}{
		{token(10, 0), token(20, 0), 0.25, token(12.5, 0)},
		{token(30, 0), token(20, 0), 0.5, token(25, 0)}, // 30 is the default
		{token(10, 0.5), token(20, 0.9), 0.5, token(15, 0.7)},
		{token(10, 0.5), token(10, 0.9), 0.5, token(10, 0.7)},
		{token(10, 0.5), token(20, 0), 0.5, Config{}},
		{token(10, 0), token(20, 0.5), 0.5, Config{}},
		{token(10, 0), token(20, 0).With("epsilon", 0.1), 0.5, Config{}},
		{token(10, 0).With("epsilon", 0.1), token(20, 0).With("epsilon", 0.1), 1, token(20, 0).With("epsilon", 0.1)},
		{token(10, 0), with("sact", "gate_center", 20), 0.5, Config{}},
		{with("topk", "keep", 0.25, "layers", []int{1, 2}), with("topk", "keep", 0.75, "layers", []int{1, 2}), 0.5,
			with("topk", "keep", 0.5, "layers", []int{1, 2})},
		{with("topk", "keep", 0.4, "layers", []int{1, 2}), with("topk", "keep", 0.8, "layers", []int{1, 3}), 0.5, Config{}},
		{with("topk", "keep", 0.4), with("topk", "keep", 0.8, "fuse", true), 0.5, Config{}},
		{with("tome", "merge", 8), with("tome", "merge", 0), 0.5, with("tome", "merge", 4)},
		{Dense(), Dense(), 0.5, Dense()},
		{with("psychic"), with("psychic"), 0.5, Config{}},
	} {
		got, ok := Between(v.a, v.b, v.part)
		if ok != (v.want.Scheme != "") || ok && !reflect.DeepEqual(got, v.want) {
			t.Errorf("%v of the way from %v to %v: %v, %t; want %v", v.part, v.a, v.b, got, ok, v.want)
		}
	}
}
