// Package report turns results of runs into things to look at: pictures of what an adaptive model did with
// each token, charts, tables, and an HTML page that holds all of them.
//
// The package takes plain numbers and bytes only, so it knows no model and no data set. What goes in:
//
//   - a [Sample] is one image with the depth of each of its patch tokens (N[k] of the method: how many blocks
//     token k ran in); [Panel] and [Montage] draw samples, a [Tally] adds up the depths of many, and a [Contrast] is a
//     class's two extremes, which [EasyHard] draws;
//   - a [Table] is printed as text, as Markdown and on a page; [Models] makes one of a [Row] for each model;
//   - a [Chart] is some lines over common axes, a [Scatter] single points with names, a [Heat] a map of colours;
//   - a [Page] is all of that as one file, which refers to nothing outside itself and runs no script.
//
// A value that is not known is NaN everywhere, and is shown as a dash.
//
// gonum.org/v1/plot v0.17.0 was tried for the charts: it would save some 150 lines, but the program grows by 26 %
// (24.2 to 30.6 MB), its SVG has fixed colours (no dark mode) and no texts for the pointer, and names and numbers
// cover each other or leave the picture. github.com/jedib0t/go-pretty v6.8.3 prints text tables byte for byte alike,
// but takes as many lines to set up and has no links, which pages and Markdown need.
package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Page is a report: what a reader finds from top to bottom. Parts that are empty are left out.
type Page struct {
	Title, Subtitle string
	Machine         string // what it ran on
	Date            time.Time
	Facts           []Fact // the few figures that matter, set large
	Table           Table

	Scatters []Scatter
	Charts   []Chart
	Scores   *Heat  // the mean halting score of each block in each epoch; may be nil
	Tally    *Tally // of the tokens' depths; may be nil

	Contrasts []Contrast // in their order
	Samples   []Sample   // with what the model did with them

	Tables   []Table   // further ones; tables may lead to files beside the page
	Settings []Setting // such as a recipe
	Notes    []string  // how to read it, how it was measured
}

// Fact is one figure with what it says, such as "1.7×", "images a second".
type Fact struct{ Value, Label string }

// Setting is one line of a list of settings.
type Setting struct{ Name, Value string }

// WriteHTML writes p as one HTML file that needs no other file and no script. It appears whole or not at all.
func WriteHTML(path string, p Page) error {
	b, err := HTML(p)
	if err != nil {
		return err
	}
	return writeFile(path, b)
}

// HTML returns the page that WriteHTML writes.
func HTML(p Page) ([]byte, error) {
	v := view{Page: p, Style: template.CSS(plotStyle + pageStyle), Table: p.Table.view()}
	var charts []drawable
	for _, s := range p.Scatters {
		charts = append(charts, s)
	}
	for _, c := range p.Charts {
		charts = append(charts, c)
	}
	if p.Scores != nil {
		charts = append(charts, p.Scores)
	}
	for _, c := range append(charts, p.Tally.charts()...) {
		plot, err := c.layout()
		if err != nil {
			return nil, err
		}
		v.Charts = append(v.Charts, plot)
	}
	all := slices.Clone(p.Samples)
	for i, s := range p.Samples {
		card, err := newCard(fmt.Sprintf("image%d", i), s, true)
		if err != nil {
			return nil, fmt.Errorf("report: sample %d: %w", i, err)
		}
		v.Cards = append(v.Cards, card)
	}
	for i, c := range p.Contrasts {
		pair, err := c.view(i)
		if err != nil {
			return nil, err
		}
		v.Contrasts, all = append(v.Contrasts, pair), append(all, c.Easy, c.Hard)
	}
	v.Legend = legend(all)
	for _, t := range p.Tables {
		v.Tables = append(v.Tables, t.view())
	}
	return execute("page", v)
}

// view is a page in the form that page.html prints; what it names itself takes the place of the page's.
type view struct {
	Page
	Style  template.CSS
	Table  tableView
	Tables []tableView
	Charts []plot
	Legend []swatch
	Cards  []card

	Contrasts []contrastView
}

// Byline says where and when.
func (v view) Byline() string {
	parts := []string{v.Machine}
	if !v.Date.IsZero() {
		parts = append(parts, v.Date.Format("2 January 2006, 15:04"))
	}
	return strings.TrimPrefix(strings.Join(parts, " · "), " · ")
}

var (
	//go:embed page.html
	pageSource string
	//go:embed page.css
	pageStyle string
	//go:embed plot.css
	plotStyle string // colours, and the style of charts: of a page and of pictures on their own
)

// execute fills in one of the templates of page.html; "page" is the file itself.
func execute(name string, data any) ([]byte, error) {
	t := template.Must(template.New("page").Parse(pageSource))
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, data); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	// Names may hold anything, such as those of files: what no page may hold becomes a replacement character.
	return bytes.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, b.Bytes()), nil
}
