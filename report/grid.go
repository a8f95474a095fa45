package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table is lines of cells under headings. It can be printed as text, as Markdown and on a page.
type Table struct {
	Title   string // on a page; may be empty
	Columns []Column
	Rows    [][]Cell // a row may be shorter than Columns: the rest is empty
}

// Column is how a column of a Table is headed.
type Column struct {
	Head string
	Left bool // aligned left, as words are
}

// Cell is one value of a Table. Link, which may be empty, is where a page and Markdown lead from it: a path relative to their own file.
type Cell struct{ Text, Link string }

// text returns the cells of row i, -1 being the headings, each in one line.
func (t Table) text(i int) []string {
	line := make([]string, len(t.Columns))
	for j, c := range t.Columns {
		if i < 0 {
			line[j] = oneLine(c.Head)
		} else if j < len(t.Rows[i]) {
			line[j] = oneLine(t.Rows[i][j].Text)
		}
	}
	return line
}

// WriteText prints t as plain text with aligned columns.
func (t Table) WriteText(w io.Writer) error {
	widths := make([]int, len(t.Columns))
	for i := range len(t.Rows) + 1 {
		for j, cell := range t.text(i - 1) {
			widths[j] = max(widths[j], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for i := range len(t.Rows) + 1 {
		var line strings.Builder
		for j, cell := range t.text(i - 1) {
			if j > 0 {
				line.WriteString("  ")
			}
			pad := strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell))
			if t.Columns[j].Left {
				line.WriteString(cell + pad)
			} else {
				line.WriteString(pad + cell)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		if i == 0 {
			total := max(0, 2*(len(widths)-1))
			for _, n := range widths {
				total += n
			}
			b.WriteString(strings.Repeat("─", total) + "\n")
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("report: writing the table: %w", err)
	}
	return nil
}

// Markdown returns t as a table of GitHub's Markdown.
func (t Table) Markdown() string {
	escape := strings.NewReplacer(`\`, `\\`, "|", `\|`, "[", `\[`, "]", `\]`, "<", "&lt;", "*", `\*`, "_", `\_`, "`", "\\`")
	var b strings.Builder
	for i := range len(t.Rows) + 1 {
		for j, cell := range t.text(i - 1) {
			cell = escape.Replace(cell)
			if i > 0 && j < len(t.Rows[i-1]) && t.Rows[i-1][j].Link != "" {
				cell = fmt.Sprintf("[%s](<%s>)", cell, t.Rows[i-1][j].Link)
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
		if i > 0 {
			continue
		}
		for _, c := range t.Columns {
			if c.Left {
				b.WriteString("|:---")
			} else {
				b.WriteString("|---:")
			}
		}
		b.WriteString("|\n")
	}
	return b.String()
}
