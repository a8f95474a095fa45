package report

import (
	"cmp"
	"fmt"
	"math"
	"strings"
)

// Row is one model's line in a table of models. A value that is NaN is shown as a dash; so is a zero among
// Top5, MACs, DenseMACs, ImagesPerSecond and Speedup, where zero can only mean that nobody measured it.
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

// Models puts rows into a table. Columns that no row has a value for are left out.
func Models(rows []Row) Table {
	t := Table{Rows: make([][]Cell, len(rows))}
	column := func(head string, left bool, value func(Row) string) {
		cells, used := make([]Cell, len(rows)), len(t.Columns) == 0
		for i, r := range rows {
			cells[i].Text = value(r)
			used = used || cells[i].Text != dash
		}
		if !used {
			return
		}
		t.Columns = append(t.Columns, Column{head, left})
		for i, cell := range cells {
			t.Rows[i] = append(t.Rows[i], cell)
		}
	}
	column("model", true, func(r Row) string { return r.Model })
	column("top-1 %", false, func(r Row) string { return number(r.Top1, 2) })
	column("top-5 %", false, func(r Row) string { return measured(r.Top5, 2) })
	column("mean depth", false, func(r Row) string { return number(r.MeanDepth, 2) })
	column("MACs/image", false, func(r Row) string { return quantity(r.MACs) })
	column("of dense", false, func(r Row) string { return measured(r.MACs/r.DenseMACs, 2) })
	column("images/s", false, func(r Row) string { return threeDigits(r.ImagesPerSecond) })
	column("speed-up", false, func(r Row) string {
		if text := measured(r.Speedup, 2); text != dash {
			return text + "×"
		}
		return dash
	})
	column("precision", true, func(r Row) string { return cmp.Or(r.Precision, dash) })
	column("threads", false, func(r Row) string { return measured(float64(r.Threads), 0) })
	column("images", false, func(r Row) string { return measured(float64(r.Images), 0) })
	return t
}

// Compare puts what b changes against base into facts: speed, MACs, accuracy and depth, as far as they are known.
func Compare(base, b Row) []Fact {
	var out []Fact
	if base.ImagesPerSecond > 0 && b.ImagesPerSecond > 0 {
		out = append(out, Fact{number(b.ImagesPerSecond/base.ImagesPerSecond, 2) + "×", "the images a second"})
	}
	if base.MACs > 0 && b.MACs > 0 {
		out = append(out, Fact{number(100*b.MACs/base.MACs, 0) + " %", "of the multiply-adds"})
	}
	if d := b.Top1 - base.Top1; finite(d) {
		text := strings.Replace(fmt.Sprintf("%+.2f", d), "-", "−", 1)
		if math.Abs(d) < 0.005 {
			text = "±0.00"
		}
		out = append(out, Fact{text, "points of top-1"})
	}
	if finite(b.MeanDepth) && b.MeanDepth > 0 {
		out = append(out, Fact{number(b.MeanDepth, 1), "blocks a token, on average"})
	}
	return out
}

// dash stands for a value that is not known.
const dash = "–"

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
	for _, u := range []struct {
		size float64
		name string
	}{{1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e3, " k"}} {
		if finite(v) && v >= u.size*0.9995 {
			return threeDigits(v/u.size) + u.name
		}
	}
	return measured(v, 0)
}

// threeDigits is measured with three significant digits.
func threeDigits(v float64) string {
	switch {
	case v >= 99.95:
		return measured(v, 0)
	case v >= 9.995:
		return measured(v, 1)
	}
	return measured(v, 2)
}
