package report

import (
	"fmt"
	"io"
	"slices"
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

// Cell is one value of a Table. Link, if any, is where it leads: a path relative to the file of the page or Markdown.
type Cell struct{ Text, Link string }

// NewTable returns a table of no rows, of whose columns the first so many are aligned left.
func NewTable(left int, heads ...string) Table {
	var t Table
	for j, head := range heads {
		t.Columns = append(t.Columns, Column{head, j < left})
	}
	return t
}

// Add adds a row of cells without links.
func (t *Table) Add(texts ...string) {
	row := make([]Cell, len(texts))
	for j, text := range texts {
		row[j].Text = text
	}
	t.Rows = append(t.Rows, row)
}

// lines returns the headings and the rows with a cell for each column, its text in one line.
func (t Table) lines() [][]Cell {
	lines := make([][]Cell, 1+len(t.Rows))
	for i := range lines {
		lines[i] = make([]Cell, len(t.Columns))
		if i > 0 {
			copy(lines[i], t.Rows[i-1])
		}
		for j, c := range t.Columns {
			if i == 0 {
				lines[i][j].Text = c.Head
			}
			lines[i][j].Text = oneLine(lines[i][j].Text)
		}
	}
	return lines
}

// WriteText prints t as plain text with aligned columns.
func (t Table) WriteText(w io.Writer) error {
	lines, widths := t.lines(), make([]int, len(t.Columns))
	for _, cells := range lines {
		for j, cell := range cells {
			widths[j] = max(widths[j], utf8.RuneCountInString(cell.Text))
		}
	}
	var b strings.Builder
	for i, cells := range lines {
		texts := make([]string, len(cells))
		for j, cell := range cells {
			width := widths[j]
			if t.Columns[j].Left {
				width = -width
			}
			texts[j] = fmt.Sprintf("%*s", width, cell.Text)
		}
		line := strings.Join(texts, "  ")
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		if i == 0 {
			b.WriteString(strings.Repeat("─", utf8.RuneCountInString(line)) + "\n")
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("report: writing the table: %w", err)
	}
	return nil
}

var markdownEscape = strings.NewReplacer("<", "&lt;",
	`\`, `\\`, "|", `\|`, "[", `\[`, "]", `\]`, "*", `\*`, "_", `\_`, "`", "\\`")

// Markdown returns t as a table of GitHub's Markdown.
func (t Table) Markdown() string {
	var b strings.Builder
	for i, cells := range t.lines() {
		for _, cell := range cells {
			text := markdownEscape.Replace(cell.Text)
			if cell.Link != "" {
				text = fmt.Sprintf("[%s](<%s>)", text, cell.Link)
			}
			b.WriteString("| " + text + " ")
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

// tableView is a table on a page; one of a few rows without links is there turned on its side, too, for narrow screens.
type tableView struct {
	Table
	Turned [][]string
}

func (t Table) view() tableView {
	v := tableView{Table: t}
	v.Rows = t.lines()[1:]
	linked := slices.ContainsFunc(slices.Concat(v.Rows...), func(c Cell) bool { return c.Link != "" })
	if len(t.Rows) > maxTurned || linked {
		return v
	}
	for j, c := range t.Columns {
		line := []string{c.Head}
		for _, r := range v.Rows {
			line = append(line, r[j].Text)
		}
		v.Turned = append(v.Turned, line)
	}
	return v
}
