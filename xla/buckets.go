package xla

import (
	"errors"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:staticcheck // formulas read as formulas

	"github.com/adavit/adavit/vit"
)

// kept is 1 for rows that go into the next block: tokens that run, and those that are read, whose rows stay first.
func (n *network) kept(s state) *Node {
	return Max(s.alive, OneMinus(n.from(s.place, n.reads.Alone)))
}

// rows is the number of such rows in the image that has most, a scalar.
func (n *network) rows(s state) *Node {
	if s.alive == nil {
		return Const(s.x.Graph(), float32(s.x.Shape().Dimensions[1]))
	}
	return ReduceAllMax(ReduceSum(n.kept(s), -1))
}

// narrow gathers the rows that go on, in the order of their places, into the first size rows of each image. Where they
// are fewer, halted ones fill up; where they are more, some are lost, and rows tells.
func (n *network) narrow(s state, size int) state {
	b, rows := s.x.Shape().Dimensions[0], s.x.Shape().Dimensions[1]
	if s.alive == nil || size >= rows {
		return s
	}
	g := s.x.Graph()
	place := Iota(g, shapes.Make(dtypes.Int32, b, rows), 1)
	behind := ConvertDType(OneMinus(StopGradient(n.kept(s))), dtypes.Int32)
	order := Sort(Add(place, MulScalar(behind, rows)), 1, true)
	order = Slice(Mod(order, Const(g, int32(rows))), AxisRange(), AxisRange(0, size))
	// A product with ones in these places rather than a gather: devices then need nothing of each other's images, and
	// its gradient is a product, too.
	chosen := OneHot(order, rows, dtypes.Float32) // [B, size, n]
	take := func(x *Node) *Node { return Einsum("bmn,bn->bm", chosen, x) }
	from := ConvertDType(BroadcastToDims(s.place, b, rows), dtypes.Float32)
	return state{x: Einsum("bmn,bne->bme", chosen, s.x), place: ConvertDType(take(from), dtypes.Int32),
		alive: take(s.alive), sum: take(s.sum)}
}

// schedule chooses how many rows each block has, of a few sizes, by what recent passes needed. It widens at once, and
// narrows when passes have long had rows to spare: each schedule is a program of its own, to be compiled.
type schedule struct {
	sizes []int // ascending, the last one all tokens
	now   []int // [L]
	most  []int // [L] rows needed since it last narrowed or widened
	seen  int   // passes since
}

// Patience is how many passes must have rows to spare before a schedule narrows.
const Patience = 100

// newSchedule begins with all rows in all blocks. count is how many sizes there are, in equal steps.
func newSchedule(c vit.Config, count int) (*schedule, error) {
	if count == 0 {
		return nil, nil
	}
	if c.Readouts().Pooled > 0 {
		return nil, errors.New("xla: a model that reads the mean of its patches needs all rows in their places: no buckets")
	}
	s := &schedule{most: make([]int, c.Layers)}
	for i := range count {
		s.sizes = append(s.sizes, max(c.Special()+1, (c.Tokens()*(i+1)+count-1)/count))
	}
	s.sizes = slices.Compact(s.sizes)
	s.now = slices.Repeat([]int{c.Tokens()}, c.Layers)
	return s, nil
}

// fits reports whether a pass that needed so many rows in each block lost none, and lets the schedule follow.
func (s *schedule) fits(needs []int) bool {
	fit, spare := true, false
	s.seen++
	for l, need := range needs {
		s.most[l] = max(s.most[l], need)
		size := s.size(s.most[l])
		fit = fit && need <= s.now[l]
		spare = spare || size < s.now[l]
	}
	if fit && !(spare && s.seen >= Patience) {
		return true
	}
	now := slices.Clone(s.now)
	for l := range now { // rows only ever grow fewer
		size := s.size(s.most[l])
		if !fit {
			size = max(size, s.now[l])
		}
		now[l] = size
	}
	for l := len(now) - 2; l >= 0; l-- {
		now[l] = max(now[l], now[l+1])
	}
	s.now, s.seen = now, 0
	clear(s.most)
	return fit
}

// size is the smallest that holds so many rows.
func (s *schedule) size(rows int) int {
	for _, size := range s.sizes {
		if size >= rows {
			return size
		}
	}
	return s.sizes[len(s.sizes)-1]
}
