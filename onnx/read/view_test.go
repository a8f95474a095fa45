package read

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/adavit/adavit/internal/protobuf"
)

// spelt is a value with all its elements written out, by which views are checked.
type spelt struct {
	shape []int
	data  []int64
}

// at walks a shape in order.
func (s spelt) at(f func(index []int)) {
	index := make([]int, len(s.shape))
	n, _ := elements(s.shape)
	for range n {
		f(index)
		for d := len(index) - 1; d >= 0; d-- {
			if index[d]++; index[d] < s.shape[d] {
				break
			}
			index[d] = 0
		}
	}
}

func (s spelt) get(index []int) int64 {
	place := 0
	for d, i := range index {
		place = place*s.shape[d] + i
	}
	return s.data[place]
}

// built makes a value of another shape: from turns its places into those of s.
func (s spelt) built(shape []int, from func(index []int) []int) spelt {
	out := spelt{shape: shape}
	out.at(func(index []int) { out.data = append(out.data, s.get(from(slices.Clone(index)))) })
	return out
}

// TestViews applies random reshapes, transposes, slices and repetitions to a value, and to its elements one by one.
func TestViews(t *testing.T) {
	views := 0
	rapid.Check(t, func(t *rapid.T) {
		e := &evaluator{store: &store{left: 1 << 30}}
		shape := rapid.SliceOfN(rapid.IntRange(1, 4), 1, 4).Draw(t, "shape")
		want := spelt{shape: shape}
		a := newArray(true, shape)
		for i := range a.i {
			a.i[i] = int64(i)
		}
		want.data = slices.Clone(a.i)
		v := constant(a)
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			n := len(want.shape)
			switch rapid.SampledFrom([]string{"reshape", "transpose", "slice", "expand"}).Draw(t, "step") {
			case "reshape":
				rest, cut := len(want.data), []int{}
				for rest > 1 && len(cut) < 4 {
					d := rapid.IntRange(1, rest).Filter(func(d int) bool { return rest%d == 0 }).Draw(t, "part")
					cut, rest = append(cut, d), rest/d
				}
				cut = append(cut, rest)
				w, ok := v.reshape(cut)
				if !ok { // no view: as every operator does, write it anew
					c, err := e.content(v)
					if err != nil {
						t.Fatal(err)
					}
					if w, ok = constant(c).reshape(cut); !ok {
						t.Fatalf("a whole of %v cannot become %v", v.shape(), cut)
					}
				} else {
					views++
				}
				v, want = w, spelt{cut, want.data}
			case "transpose":
				perm := rapid.Permutation(upTo(n)).Draw(t, "order")
				to := make([]int, n)
				for i, p := range perm {
					to[i] = want.shape[p]
				}
				v, want = v.transpose(perm), want.built(to, func(index []int) []int {
					from := make([]int, n)
					for i, p := range perm {
						from[p] = index[i]
					}
					return from
				})
			case "slice":
				axis := rapid.IntRange(0, n-1).Draw(t, "axis")
				step := rapid.IntRange(1, 2).Draw(t, "by")
				start := rapid.IntRange(0, want.shape[axis]-1).Draw(t, "start")
				count := rapid.IntRange(1, (want.shape[axis]-1-start)/step+1).Draw(t, "count")
				w, ok := v.slice(axis, start, count, step)
				if !ok {
					continue
				}
				views++
				to := slices.Clone(want.shape)
				to[axis] = count
				v, want = w, want.built(to, func(index []int) []int {
					index[axis] = start + index[axis]*step
					return index
				})
			case "expand":
				to := append([]int{rapid.IntRange(1, 2).Draw(t, "times")}, want.shape...)
				if len(want.data) > 1000 || n > 5 {
					continue
				}
				w, err := v.expand(to)
				if err != nil {
					t.Fatal(err)
				}
				v, want = w, want.built(to, func(index []int) []int { return index[1:] })
			}
		}
		got, err := e.content(v)
		if err != nil || !slices.Equal(got.i, want.data) || !slices.Equal(v.shape(), want.shape) {
			t.Fatalf("%v of shape %v, want %v of shape %v (%v)", got.i, v.shape(), want.data, want.shape, err)
		}
	})
	if views == 0 {
		t.Error("no view was made: the test does not see what it is for")
	}
}

func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// TestBombs: small files that ask for a great deal are refused, soon.
func TestBombs(t *testing.T) {
	for want, nodes := range map[string][]protobuf.Message{
		"far more memory": {
			made("Constant", nil, "big", "value_ints", []int64{1 << 15, 1 << 15}),
			made("ConstantOfShape", []string{"big"}, "zeros", "", nil),
			made("Sqrt", []string{"zeros"}, "logits", "", nil)},
		"is impossible": {
			made("Constant", nil, "big", "value_ints", []int64{1 << 40, 1 << 40}),
			made("ConstantOfShape", []string{"big"}, "logits", "", nil)},
		"a range from 0 to 1000000000": {
			made("Constant", nil, "from", "value_ints", []int64{0}),
			made("Constant", nil, "to", "value_ints", []int64{1e9}),
			made("Constant", nil, "by", "value_ints", []int64{1}),
			made("Range", []string{"from", "to", "by"}, "logits", "", nil)},
		"comes from nowhere":      {made("Sqrt", []string{"logits"}, "logits", "", nil)},
		"has no place in a plain": {made("GRU", []string{"input"}, "logits", "", nil)},
		"it has 0 inputs":         {made("Sqrt", nil, "logits", "", nil)},
		"order [1 1] of 4":        {made("Transpose", []string{"input"}, "logits", "perm", []int64{1, 1})},
		"axis 9 of 5":             {made("Unsqueeze", []string{"input"}, "logits", "axes", []int64{9})},
	} {
		var graph, model, opset protobuf.Message
		for _, n := range nodes {
			graph.Bytes(1, n)
		}
		graph.Bytes(11, ported("input", 1, 3, 8, 8))
		graph.Bytes(12, ported("logits", 1, 3))
		opset.Int(2, 12)
		model.Bytes(8, opset)
		model.Bytes(7, graph)
		if _, err := decode(model, "", Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// made is a node with one output and perhaps an attribute of whole numbers.
func made(op string, in []string, out, name string, ints []int64) (m protobuf.Message) {
	for _, s := range in {
		m.Text(1, s)
	}
	m.Text(2, out)
	m.Text(4, op)
	if name != "" {
		var a protobuf.Message
		a.Text(1, name)
		var packed []byte
		for _, v := range ints {
			packed = protowire.AppendVarint(packed, uint64(v))
		}
		a.Bytes(8, packed)
		m.Bytes(5, a)
	}
	return m
}

// ported is an input or output of a shape.
func ported(name string, shape ...int64) (m protobuf.Message) {
	var dims, tensor, kind protobuf.Message
	for _, d := range shape {
		var dim protobuf.Message
		dim.Int(1, d)
		dims.Bytes(1, dim)
	}
	tensor.Bytes(2, dims)
	kind.Bytes(1, tensor)
	m.Text(1, name)
	m.Bytes(2, kind)
	return m
}
