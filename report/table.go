package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"
)

// Row is one model's line in the table. A value that is NaN is shown as a dash;
// so is a zero among Top5, MACs, DenseMACs, ImagesPerSecond and Speedup, where
// zero can only mean that nobody measured it.
type Row struct {
	Model           string
	Top1, Top5      float64 // percent of the images
	MeanDepth       float64 // blocks, mean over all tokens
	MACs            float64 // multiply-adds an image, counted from the tokens that ran
	DenseMACs       float64 // the same if no token had halted
	ImagesPerSecond float64
	Speedup         float64 // images per second against the table's dense model

	Images    int    // images measured; 0: not said
	Threads   int    // 0: not said
	Precision string // "f32", "int8", …; "": not said
}

// column is one column of the table: how it is headed and what it holds.
type column struct {
	Head  string
	Left  bool // aligned left (text)
	value func(Row) string
}

// columns returns the table's columns, without those that no row has a value for.
func columns(rows []Row) []column {
	all := []column{
		{"model", true, func(r Row) string { return r.Model }},
		{"top-1 %", false, func(r Row) string { return number(r.Top1, 2) }},
		{"top-5 %", false, func(r Row) string { return measured(r.Top5, 2) }},
		{"mean depth", false, func(r Row) string { return number(r.MeanDepth, 2) }},
		{"MACs/image", false, func(r Row) string { return quantity(r.MACs) }},
		{"of dense", false, func(r Row) string {
			if !(r.MACs > 0) || !(r.DenseMACs > 0) {
				return dash
			}
			return number(r.MACs/r.DenseMACs, 2)
		}},
		{"images/s", false, func(r Row) string { return rate(r.ImagesPerSecond) }},
		{"speed-up", false, func(r Row) string {
			if v := measured(r.Speedup, 2); v != dash {
				return v + "×"
			}
			return dash
		}},
		{"precision", true, func(r Row) string { return orDash(r.Precision) }},
		{"threads", false, func(r Row) string { return count(r.Threads) }},
		{"images", false, func(r Row) string { return count(r.Images) }},
	}
	kept := all[:0]
	for i, c := range all {
		used := i == 0
		for _, r := range rows {
			used = used || c.value(r) != dash
		}
		if used {
			kept = append(kept, c)
		}
	}
	return kept
}

// tableOf puts rows into a table. Columns that no row has a value for are left out.
func tableOf(rows []Row) Table {
	var t Table
	cols := columns(rows)
	for _, c := range cols {
		t.Columns = append(t.Columns, Column{c.Head, c.Left})
	}
	for _, r := range rows {
		line := make([]Cell, len(cols))
		for j, c := range cols {
			line[j].Text = c.value(r)
		}
		t.Rows = append(t.Rows, line)
	}
	return t
}

// WriteTable prints rows as a table of plain text with aligned columns. Columns
// that no row has a value for are left out.
func WriteTable(w io.Writer, rows []Row) error { return tableOf(rows).WriteText(w) }

// dash stands for a value that is not known.
const dash = "–"

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// number prints v with the given decimals, or a dash.
func number(v float64, decimals int) string {
	if !finite(v) {
		return dash
	}
	return fmt.Sprintf("%.*f", decimals, v)
}

// measured is number for a value that cannot be zero or less.
func measured(v float64, decimals int) string {
	if !(v > 0) {
		return dash
	}
	return number(v, decimals)
}

// quantity prints a large count with three digits and a letter: 1.26 G.
func quantity(v float64) string {
	if !finite(v) || v <= 0 {
		return dash
	}
	for _, u := range []struct {
		size float64
		name string
	}{{1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e3, " k"}} {
		if v >= u.size*0.9995 {
			return fmt.Sprintf("%.*f%s", threeDigits(v/u.size), v/u.size, u.name)
		}
	}
	return fmt.Sprintf("%.0f", v)
}

// rate prints images a second with about three digits.
func rate(v float64) string {
	if !finite(v) || v <= 0 {
		return dash
	}
	return number(v, threeDigits(v))
}

// threeDigits returns the decimals that give v three significant digits.
func threeDigits(v float64) int {
	switch {
	case v >= 99.95:
		return 0
	case v >= 9.995:
		return 1
	default:
		return 2
	}
}

func count(n int) string {
	if n <= 0 {
		return dash
	}
	return fmt.Sprint(n)
}

func orDash(s string) string {
	if s == "" {
		return dash
	}
	return s
}

// oneLine keeps a name from breaking a table or a terminal: control characters and
// runs of spaces become one space.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}
