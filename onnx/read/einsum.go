package read

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// einsum is a product of two matrices, or of stacks of them, whose dimensions are named: those that both have and the
// result too are the stack, those that the result lacks are summed over.
func einsum(c *call) (*value, error) {
	equation := strings.ReplaceAll(c.attributes["equation"].s, " ", "")
	terms, result, ok := strings.Cut(equation, "->")
	left, right, two := strings.Cut(terms, ",")
	if !ok || !two || len(c.in) != 2 || len(left) != len(c.in[0].dims) || len(right) != len(c.in[1].dims) ||
		len(result) > maxRank || repeats(left) || repeats(right) || repeats(result) {
		return nil, fmt.Errorf("equation %.80q is not read", equation)
	}
	var names [4][]rune // the stack's, of the first factor alone, of the second alone, summed over
	for _, r := range result {
		inLeft, inRight := strings.ContainsRune(left, r), strings.ContainsRune(right, r)
		switch {
		case inLeft && inRight:
			names[0] = append(names[0], r)
		case inLeft:
			names[1] = append(names[1], r)
		case inRight:
			names[2] = append(names[2], r)
		default:
			return nil, fmt.Errorf("equation %.80q is not read", equation)
		}
	}
	for _, r := range left + right {
		if inBoth := strings.ContainsRune(left, r) && strings.ContainsRune(right, r); !strings.ContainsRune(result, r) {
			if !inBoth {
				return nil, fmt.Errorf("equation %.80q is not read", equation)
			}
			if !slices.Contains(names[3], r) {
				names[3] = append(names[3], r)
			}
		}
	}
	sizes := map[rune]int{}
	for i, r := range left {
		sizes[r] = c.in[0].dims[i].size()
	}
	for i, r := range right {
		n := c.in[1].dims[i].size()
		if m, both := sizes[r]; both && m != n {
			return nil, fmt.Errorf("equation %.80q for shapes %v and %v", equation, c.in[0].shape(), c.in[1].shape())
		}
		sizes[r] = n
	}
	// Each factor becomes [stack…, rows, columns].
	factor := func(v *value, term string, rows, columns []rune) *value {
		var dims []dim
		pick := func(list []rune) (all dim) {
			for _, r := range list {
				all = append(all, v.dims[strings.IndexRune(term, r)]...)
			}
			return fused(all)
		}
		for _, r := range names[0] {
			dims = append(dims, pick([]rune{r}))
		}
		return v.with(append(dims, pick(rows), pick(columns)))
	}
	a, b := factor(c.in[0], left, names[1], names[3]), factor(c.in[1], right, names[3], names[2])
	if len(names[0]) > maxRank-2 {
		return nil, fmt.Errorf("equation %.80q is not read", equation)
	}
	y, err := matmul(&call{evaluator: c.evaluator, node: c.node, in: []*value{a, b}})
	if err != nil {
		return nil, err
	}
	// The result's dimensions, apart again and in their order.
	order := slices.Concat(names[0], names[1], names[2])
	shape := make([]int, len(order))
	total := 1
	for i, r := range order {
		shape[i] = sizes[r]
		if total *= max(shape[i], 1); total > math.MaxInt32 {
			return nil, errors.New("shapes are impossible")
		}
	}
	y, ok = y.reshape(shape)
	if !ok {
		return nil, errNoView
	}
	perm := make([]int, len(order))
	for i, r := range []rune(result) {
		perm[i] = slices.Index(order, r)
	}
	return y.transpose(perm), nil
}

// repeats says whether a term names a dimension twice, or is no list of names.
func repeats(term string) bool {
	for i, r := range term {
		if r < 'A' || r > 'z' || strings.ContainsRune(term[i+1:], r) {
			return true
		}
	}
	return false
}
