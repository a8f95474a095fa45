package data

import (
	"fmt"
	"slices"
	"strings"
)

// labelColumn finds out where a list has its labels; file is the column of the pictures. In this order: the column
// whose cells all are known classes; one with a usual heading; the only column that there is; columns of zeros with
// one 1 in each row, whose headings then are the classes; of a list without headings, the only column of words.
func (s sheet) labelColumn(file int, known []string) (labelCells, error) {
	var rest []int // columns that may hold labels
	split, yes := s.headed(splitHeads), s.roleColumns()
	for c := range s.width() {
		if c != file && c != split && !in(yes, c) {
			rest = append(rest, c)
		}
	}
	head := func(c int) string {
		if c < len(s.heads) {
			return s.heads[c]
		}
		return fmt.Sprint(c + 1)
	}
	is := func(c int) labelCells { return labelCells{name: head(c), column: c, plain: s.plainer(c)} }
	if known != nil {
		fit := slices.DeleteFunc(slices.Clone(rest), func(c int) bool { return !s.ofClasses(c, known) })
		if len(fit) == 1 {
			return is(fit[0]), nil
		}
	}
	if c := s.headed(labelHeads); c >= 0 && c != file {
		for _, other := range rest { // a number and the name that goes with it: the name says more
			if other != c && slices.Contains(labelHeads, headKey(head(other))) && s.allNumbers(c) && !s.allNumbers(other) &&
				s.paired(c, other) {
				c = other
			}
		}
		return is(c), nil
	}
	if c := s.oneHot(rest); c != nil {
		return *c, nil
	}
	rest = slices.DeleteFunc(rest, func(c int) bool { return otherHeads.MatchString(headKey(head(c))) })
	if s.heads == nil && len(rest) > 1 {
		rest = slices.DeleteFunc(rest, s.allNumbers)
	}
	switch {
	case len(rest) == 1:
		return is(rest[0]), nil
	case s.heads == nil:
		return labelCells{}, fmt.Errorf("it has %d columns, and which holds the label nothing tells: give it a first line "+
			"of headings, file_name,label", s.width())
	}
	if len(rest) > 1 && !slices.ContainsFunc(rest, func(c int) bool { return !s.allFlags(c) }) {
		return labelCells{}, fmt.Errorf("its columns %s, … hold zeros and ones, but in some rows not a single 1: pictures "+
			"of several classes, or of none, are not supported", head(rest[0]))
	}
	return labelCells{}, fmt.Errorf("its columns are %s: none of them is headed label", strings.Join(s.heads, ", "))
}

// allFlags reports whether a column has cells, all of which are zeros and ones.
func (s sheet) allFlags(column int) bool {
	some, all := false, true
	s.cells(column, func(cell string) bool {
		some, all = true, isOne(cell) || isZero(cell)
		return all
	})
	return some && all
}

// width is the number of columns.
func (s sheet) width() int {
	n := len(s.heads)
	for _, row := range s.rows {
		n = max(n, len(row))
	}
	return n
}

// cells calls visit for each cell of a column that is there, until it returns false.
func (s sheet) cells(column int, visit func(cell string) bool) {
	for _, row := range s.rows {
		if column < len(row) && row[column] != "" && !visit(row[column]) {
			return
		}
	}
}

// ofClasses reports whether a column has cells, all of which are names of classes.
func (s sheet) ofClasses(column int, classes []string) bool {
	is := map[string]bool{}
	for _, name := range classes {
		is[ClassKey(name)] = true
	}
	some, all, plain := false, true, s.plainer(column)
	s.cells(column, func(cell string) bool {
		some, all = true, is[ClassKey(plain(cell))]
		return all
	})
	return some && all
}

// allNumbers reports whether all cells of a column are numbers, digits with a point or sign among them.
func (s sheet) allNumbers(column int) bool {
	all := true
	s.cells(column, func(cell string) bool {
		all = strings.Trim(cell, "0123456789.-+eE") == ""
		return all
	})
	return all
}

// paired reports whether two columns tell the same rows apart.
func (s sheet) paired(a, b int) bool {
	of, back := map[string]string{}, map[string]string{}
	for _, row := range s.rows {
		if a >= len(row) || b >= len(row) {
			continue
		}
		if other, ok := of[row[a]]; ok && other != row[b] {
			return false
		}
		if other, ok := back[row[b]]; ok && other != row[a] {
			return false
		}
		of[row[a]], back[row[b]] = row[b], row[a]
	}
	return true
}

// oneHot is the label of columns that hold zeros and a single 1 in each row; nil if they do not.
func (s sheet) oneHot(columns []int) *labelCells {
	if len(columns) < 2 || s.heads == nil {
		return nil
	}
	for _, row := range s.rows {
		ones := 0
		for _, c := range columns {
			switch {
			case c >= len(row) || c >= len(s.heads) || !isOne(row[c]) && !isZero(row[c]):
				return nil
			case isOne(row[c]):
				ones++
			}
		}
		if ones != 1 {
			return nil
		}
	}
	l := labelCells{name: fmt.Sprintf("%s, …", s.heads[columns[0]]), heads: make([]string, len(s.heads))}
	for _, c := range columns {
		l.heads[c] = s.heads[c]
	}
	return &l
}
