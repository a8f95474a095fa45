package data

import (
	"regexp"
	"slices"
	"strings"
)

// What cells of lists hold besides a plain label or part.
var (
	wholeNumber = regexp.MustCompile(`^(-?\d+)(\.0*)?$`)
	// boxedLabel is ImageNet's at Kaggle: a class and the corners of its boxes, each box behind the class.
	boxedLabel = regexp.MustCompile(`^(\S+)( -?\d+){4}( \S+( -?\d+){4})*$`)
)

// plainer says how the cells of a column become labels. Where all are whole numbers, and some have a point, the column
// had gaps when pandas wrote it: 3.0 is 3. Where all are a class and its boxes, the class is the label.
func (s sheet) plainer(column int) func(cell string) string {
	whole, point, boxed, some := true, false, true, false
	s.cells(column, func(cell string) bool {
		some = true
		whole, boxed = whole && wholeNumber.MatchString(cell), boxed && oneBoxed(cell) != ""
		point = point || strings.Contains(cell, ".")
		return whole || boxed
	})
	switch {
	case some && whole && point:
		return func(cell string) string { return wholeNumber.ReplaceAllString(cell, "$1") }
	case some && boxed:
		return oneBoxed
	}
	return func(cell string) string { return cell }
}

// oneBoxed is the class of a cell with boxes of one class; "" of any other.
func oneBoxed(cell string) string {
	m := boxedLabel.FindStringSubmatch(cell)
	if m == nil {
		return ""
	}
	words := strings.Fields(cell)
	for at := 0; at < len(words); at += 5 {
		if words[at] != m[1] {
			return ""
		}
	}
	return m[1]
}

// A roleColumn says yes or no to a picture's being of a part, as fastai's is_valid does.
type roleColumn struct {
	column int
	role   Split
}

// roleColumns are the columns of that kind: headed by a part's name, with is before it or not, and all yes or no.
func (s sheet) roleColumns() (list []roleColumn) {
	for c, head := range s.heads {
		role, rest := roleOf(head)
		if role != "" && (rest == "" || rest == "is") && s.allFlags(c) {
			list = append(list, roleColumn{c, role})
		}
	}
	return list
}

// roleOfRow is the part that columns of yes and no give a row. Where none says yes it is the training part or, if they
// say that it is none of training, the test part.
func roleOfRow(columns []roleColumn, row []string) Split {
	rest := Train
	for _, c := range columns {
		if c.column < len(row) && isOne(row[c.column]) {
			return c.role
		}
		if c.role == Train {
			rest = Test
		}
	}
	return rest
}

// in reports whether a column is one of those.
func in(columns []roleColumn, c int) bool {
	return slices.ContainsFunc(columns, func(r roleColumn) bool { return r.column == c })
}
