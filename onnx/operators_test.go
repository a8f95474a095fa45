package onnx

import (
	"cmp"
	"math"
	"slices"
)

// operators are those that are not pointwise.
var operators = map[string]func(n readNode, in []value) []value{
	"Shape": func(n readNode, in []value) []value {
		dims := in[0].shape[n.int("start", 0):n.int("end", int64(len(in[0].shape)))]
		out := zeros(elemInt64, len(dims))
		for i, d := range dims {
			out.data[i] = float64(d)
		}
		return []value{out}
	},
	"Reshape": func(n readNode, in []value) []value {
		shape, free := whole(in[1]), -1
		for i, d := range shape {
			switch d {
			case 0:
				shape[i] = in[0].shape[i]
			case -1:
				must(free < 0, "node %s: two free dimensions", n.name)
				free, shape[i] = i, 1
			}
		}
		if free >= 0 {
			shape[free] = len(in[0].data) / count(shape)
		}
		return []value{{in[0].kind, shape, in[0].data}}
	},
	"Transpose": func(n readNode, in []value) []value {
		perm := n.attributes["perm"].([]int64)
		must(len(perm) == len(in[0].shape), "node %s: %v of shape %v", n.name, perm, in[0].shape)
		shape, from := make([]int, len(perm)), make([]int, len(perm))
		for i, p := range perm {
			shape[i] = in[0].shape[p]
		}
		return []value{gathered(in[0], shape, func(at []int) []int {
			for i, p := range perm {
				from[p] = at[i]
			}
			return from
		})}
	},
	"Expand": func(n readNode, in []value) []value {
		ones := zeros(in[0].kind, whole(in[1])...)
		return []value{pointwise(in[0].kind, []value{in[0], ones}, func(x []float64) float64 { return x[0] })}
	},
	"Concat": func(n readNode, in []value) []value {
		axis, total := n.axis(len(in[0].shape)), 0
		for _, v := range in {
			must(v.kind == in[0].kind && slices.Equal(with(v.shape, axis, 0), with(in[0].shape, axis, 0)),
				"node %s: shapes %v and %v", n.name, in[0].shape, v.shape)
			total += v.shape[axis]
		}
		out := zeros(in[0].kind, with(in[0].shape, axis, total)...)
		walk(out.shape, func(i int, at []int) {
			at = slices.Clone(at)
			v := in
			for ; at[axis] >= v[0].shape[axis]; v = v[1:] {
				at[axis] -= v[0].shape[axis]
			}
			out.data[i] = v[0].data[offset(v[0].shape, at)]
		})
		return []value{out}
	},
	"Split": func(n readNode, in []value) []value {
		axis, from := n.axis(len(in[0].shape)), 0
		var out []value
		for _, size := range whole(in[1]) {
			out = append(out, gathered(in[0], with(in[0].shape, axis, size),
				func(at []int) []int { return with(at, axis, at[axis]+from) }))
			from += size
		}
		must(from == in[0].shape[axis], "node %s: parts of %d, there are %d", n.name, from, in[0].shape[axis])
		return out
	},
	"Slice": func(n readNode, in []value) []value {
		from, to, axis := whole(in[1])[0], whole(in[2])[0], whole(in[3])[0]
		from, to = min(from, in[0].shape[axis]), min(to, in[0].shape[axis])
		return []value{gathered(in[0], with(in[0].shape, axis, to-from), func(at []int) []int {
			return with(at, axis,
				at[axis]+from)
		})}
	},
	"Pad": func(n readNode, in []value) []value {
		pads, out := whole(in[1]), in[0]
		rank := len(out.shape)
		for axis := range rank {
			before := pads[axis]
			padded := zeros(out.kind, with(out.shape, axis, before+out.shape[axis]+pads[rank+axis])...)
			walk(padded.shape, func(i int, at []int) {
				padded.data[i] = in[2].data[0]
				if j := at[axis] - before; j >= 0 && j < out.shape[axis] {
					padded.data[i] = out.data[offset(out.shape, with(at, axis, j))]
				}
			})
			out = padded
		}
		return []value{out}
	},
	"Gather": func(n readNode, in []value) []value {
		axis, places := n.axis(len(in[0].shape)), whole(in[1])
		return []value{gathered(in[0], with(in[0].shape, axis, len(places)),
			func(at []int) []int { return with(at, axis, places[at[axis]]) })}
	},
	"GatherElements": func(n readNode, in []value) []value {
		axis := n.axis(len(in[0].shape))
		must(in[1].kind == elemInt64, "node %s: places of type %d", n.name, in[1].kind)
		return []value{gathered(in[0], in[1].shape, func(at []int) []int {
			return with(at, axis,
				int(in[1].data[offset(in[1].shape, at)]))
		})}
	},
	"GatherND": func(n readNode, in []value) []value { // batches of rows by single places
		x, places := in[0], in[1]
		must(n.int("batch_dims", 0) == 1 && places.kind == elemInt64 && len(places.shape) == 3 && places.shape[2] == 1 &&
			places.shape[0] == x.shape[0], "node %s: places %v", n.name, places.shape)
		return []value{gathered(x, with(x.shape, 1, places.shape[1]), func(at []int) []int {
			return with(at, 1,
				int(places.data[at[0]*places.shape[1]+at[1]]))
		})}
	},
	"ScatterElements": func(n readNode, in []value) []value {
		axis, out := n.axis(len(in[0].shape)), value{in[0].kind, in[0].shape, slices.Clone(in[0].data)}
		must(n.attributes["reduction"] == "add" && in[1].kind == elemInt64 && in[2].kind == out.kind &&
			slices.Equal(in[1].shape, in[2].shape), "node %s: places %v", n.name, in[1].shape)
		walk(in[1].shape, func(i int, at []int) {
			out.data[offset(out.shape, with(at, axis, int(in[1].data[i])))] += in[2].data[i]
		})
		return []value{out}
	},
	"TopK": func(n readNode, in []value) []value { // along the middle of [a, b, 1]
		x, k := in[0], whole(in[1])[0]
		must(n.axis(len(x.shape)) == 1 && len(x.shape) == 3 && x.shape[2] == 1 && k <= x.shape[1], "node %s: %d of %v",
			n.name, k, x.shape)
		values, places := zeros(x.kind, x.shape[0], k, 1), zeros(elemInt64, x.shape[0], k, 1)
		for b, row := range slices.Collect(slices.Chunk(x.data, x.shape[1])) {
			order := upTo(len(row))
			slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(row[j], row[i]) })
			for i, j := range order[:k] {
				values.data[b*k+i], places.data[b*k+i] = row[j], float64(j)
			}
		}
		return []value{values, places}
	},
	"ReduceSum": func(n readNode, in []value) []value {
		must(n.int("keepdims", 1) == 0, "node %s keeps dimensions", n.name)
		axes, kept := whole(in[1]), []int(nil)
		for d, size := range in[0].shape {
			if !slices.Contains(axes, d) {
				kept = append(kept, size)
			}
		}
		out := zeros(in[0].kind, kept...)
		walk(in[0].shape, func(i int, at []int) {
			var to []int
			for d, j := range at {
				if !slices.Contains(axes, d) {
					to = append(to, j)
				}
			}
			out.data[offset(kept, to)] += in[0].data[i]
		})
		return []value{out}
	},
	"ReduceMax": func(n readNode, in []value) []value { // over everything
		must(len(in) == 1 && n.attributes["axes"] == nil && n.int("keepdims", 1) == 1, "node %s has axes", n.name)
		out := zeros(in[0].kind, slices.Repeat([]int{1}, len(in[0].shape))...)
		out.data[0] = slices.Max(in[0].data)
		return []value{out}
	},
	"Softmax": func(n readNode, in []value) []value {
		last := in[0].shape[len(in[0].shape)-1]
		must(n.axis(len(in[0].shape)) == len(in[0].shape)-1, "node %s: not the last axis", n.name)
		out := zeros(elemFloat, in[0].shape...)
		for i := 0; i < len(out.data); i += last {
			row, sum := in[0].data[i:i+last], 0.0
			top := slices.Max(row)
			for j, v := range row {
				out.data[i+j] = math.Exp(v - top)
				sum += out.data[i+j]
			}
			for j := range row {
				out.data[i+j] /= sum
			}
		}
		return []value{out}
	},
	"LayerNormalization": func(n readNode, in []value) []value {
		last := in[0].shape[len(in[0].shape)-1]
		must(n.axis(len(in[0].shape)) == len(in[0].shape)-1 && len(in[1].data) == last && len(in[2].data) == last,
			"node %s: shapes %v, %v", n.name, in[0].shape, in[1].shape)
		out, eps := zeros(elemFloat, in[0].shape...), float64(n.attributes["epsilon"].(float32))
		for i := 0; i < len(out.data); i += last {
			row, mean, variance := in[0].data[i:i+last], 0.0, 0.0
			for _, v := range row {
				mean += v / float64(last)
			}
			for _, v := range row {
				variance += (v - mean) * (v - mean) / float64(last)
			}
			for j, v := range row {
				out.data[i+j] = (v-mean)/math.Sqrt(variance+eps)*in[1].data[j] + in[2].data[j]
			}
		}
		return []value{out}
	},
	"Gemm": func(n readNode, in []value) []value {
		x, w, b := in[0], in[1], in[2]
		must(len(x.shape) == 2 && len(w.shape) == 2 && x.shape[1] == w.shape[1] && n.int("transB", 0) == 1 &&
			slices.Equal(b.shape, w.shape[:1]), "node %s: %v times %v plus %v", n.name, x.shape, w.shape, b.shape)
		out := zeros(elemFloat, x.shape[0], w.shape[0])
		walk(out.shape, func(i int, at []int) {
			out.data[i] = b.data[at[1]]
			for k, v := range x.data[at[0]*x.shape[1] : (at[0]+1)*x.shape[1]] {
				out.data[i] += v * w.data[at[1]*x.shape[1]+k]
			}
		})
		return []value{out}
	},
	"MatMul": func(n readNode, in []value) []value {
		a, b := in[0], in[1]
		r := len(a.shape)
		must(len(b.shape) == r && slices.Equal(a.shape[:r-2], b.shape[:r-2]) && a.shape[r-1] == b.shape[r-2],
			"node %s: %v times %v", n.name, a.shape, b.shape)
		rows, inner, columns := a.shape[r-2], a.shape[r-1], b.shape[r-1]
		out := zeros(elemFloat, with(a.shape, r-1, columns)...)
		for i := range out.data {
			matrix, row, column := i/columns/rows, i/columns, i%columns
			for k := range inner {
				out.data[i] += a.data[row*inner+k] * b.data[(matrix*inner+k)*columns+column]
			}
		}
		return []value{out}
	},
	"Conv": func(n readNode, in []value) []value { // of patches side by side
		x, w := in[0], in[1]
		p := w.shape[2]
		kernel, strides := n.attributes["kernel_shape"].([]int64), n.attributes["strides"].([]int64)
		must(slices.Equal(kernel, strides) && slices.Equal(kernel, []int64{int64(p), int64(w.shape[3])}) &&
			w.shape[1] == x.shape[1], "node %s: %v, %v", n.name, kernel, strides)
		out := zeros(elemFloat, x.shape[0], w.shape[0], (x.shape[2]-p)/p+1, (x.shape[3]-p)/p+1)
		walk(out.shape, func(i int, at []int) {
			out.data[i] = in[2].data[at[1]]
			walk(w.shape[1:], func(j int, k []int) {
				out.data[i] += w.data[at[1]*count(w.shape[1:])+j] * x.data[offset(x.shape,
					[]int{at[0], k[0], at[2]*p + k[1], at[3]*p + k[2]})]
			})
		})
		return []value{out}
	},
}
