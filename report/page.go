package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"
	"unicode"
)

// Page is a report on models that were run: what a reader finds from top to
// bottom. Parts that are empty are left out.
type Page struct {
	Title, Subtitle string
	Machine         string // what it ran on
	Date            time.Time
	Facts           []Fact // the few figures that matter, set large
	Rows            []Row

	Histogram []int     // [layers]: Histogram[d-1] tokens ran in d blocks
	Active    []float64 // [layers]: Active[l-1] is the mean share of tokens, 0..1, that ran in block l
	Tally     *Tally    // fills in Histogram and Active where they are nil, and shows more; may be nil
	Charts    []Chart   // further charts

	Samples []Sample
	Notes   []string // how to read it, how it was measured
}

// Fact is one figure with what it says, such as "1.7×", "images a second".
type Fact struct{ Value, Label string }

// Setting is one line of a list of settings.
type Setting struct{ Name, Value string }

// TrainingPage is a report on a training run. Parts that are empty are left out.
type TrainingPage struct {
	Title, Subtitle string
	Machine         string
	Date            time.Time
	Facts           []Fact
	Charts          []Chart
	Scores          *Heat     // the mean halting score of each block in each epoch; may be nil
	Tally           *Tally    // of the finished model's tokens; may be nil
	Samples         []Sample  // test images, with what the finished model did with them
	Settings        []Setting // the recipe
	Notes           []string
}

// Compare puts what b changes against base into facts: speed, MACs, accuracy and
// depth, as far as they are known.
func Compare(base, b Row) []Fact {
	var out []Fact
	if base.ImagesPerSecond > 0 && b.ImagesPerSecond > 0 {
		out = append(out, Fact{number(b.ImagesPerSecond/base.ImagesPerSecond, 2) + "×", "the images a second"})
	}
	if base.MACs > 0 && b.MACs > 0 {
		out = append(out, Fact{number(100*b.MACs/base.MACs, 0) + " %", "of the multiply-adds"})
	}
	if d := b.Top1 - base.Top1; finite(d) {
		text := fmt.Sprintf("%+.2f", d)
		text = strings.Replace(text, "-", "−", 1)
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

// WriteHTML writes p as one HTML file that refers to nothing outside itself and
// needs no script. The file appears whole or not at all.
func WriteHTML(path string, p Page) error {
	b, err := HTML(p)
	if err != nil {
		return err
	}
	return writeFile(path, b)
}

// HTML returns the page that WriteHTML writes.
func HTML(p Page) ([]byte, error) {
	v := view{Title: p.Title, Subtitle: p.Subtitle, Byline: byline(p.Machine, p.Date), Facts: p.Facts, Notes: p.Notes}
	if len(p.Rows) > 0 {
		v.Table = tableOf(p.Rows).view()
	}
	if err := v.addDepths(p.Tally, p.Histogram, p.Active); err != nil {
		return nil, err
	}
	if err := v.addCharts(p.Charts); err != nil {
		return nil, err
	}
	if err := v.addSamples(p.Samples); err != nil {
		return nil, err
	}
	return v.render()
}

// WriteTraining writes p as one HTML file, as WriteHTML does.
func WriteTraining(path string, p TrainingPage) error {
	b, err := TrainingHTML(p)
	if err != nil {
		return err
	}
	return writeFile(path, b)
}

// TrainingHTML returns the page that WriteTraining writes.
func TrainingHTML(p TrainingPage) ([]byte, error) {
	v := view{Title: p.Title, Subtitle: p.Subtitle, Byline: byline(p.Machine, p.Date), Facts: p.Facts, Settings: p.Settings, Notes: p.Notes}
	if err := v.addCharts(p.Charts); err != nil {
		return nil, err
	}
	if p.Scores != nil {
		c, err := p.Scores.layout()
		if err != nil {
			return nil, err
		}
		v.Charts = append(v.Charts, c)
	}
	if err := v.addDepths(p.Tally, nil, nil); err != nil {
		return nil, err
	}
	if err := v.addSamples(p.Samples); err != nil {
		return nil, err
	}
	return v.render()
}

//go:embed page.html
var pageSource string

//go:embed page.css
var styleSheet string

// view is a page in the form that page.html prints.
type view struct {
	Title, Subtitle, Byline string
	Style                   template.CSS
	Facts                   []Fact
	Table                   *tableView
	Tables                  []*tableView // further down
	Charts                  []chartView
	Legend                  []swatch
	Cards                   []card
	Settings                []Setting
	Notes                   []string
	deepest                 int
}

// addDepths adds the charts of how deep tokens ran; t, which may be nil, fills in what is nil.
func (v *view) addDepths(t *Tally, histogram []int, active []float64) error {
	if t != nil && t.images > 0 {
		if histogram == nil {
			histogram = t.Histogram()
		}
		if active == nil {
			active = t.Active()
		}
	}
	if len(active) > 0 {
		c, err := Chart{
			Title: "Alive in each block", XLabel: "block", YLabel: "share of tokens", Percent: true, FromZero: true, Area: true,
			Series: []Series{{Name: "alive", Y: active}, {Name: "dense", Y: ones(len(active)), Dashed: true}},
		}.layout()
		if err != nil {
			return err
		}
		v.Charts = append(v.Charts, c)
	}
	if len(histogram) > 0 {
		if len(histogram) > maxLayers {
			return fmt.Errorf("report: histogram of %d blocks, want at most %d", len(histogram), maxLayers)
		}
		v.Charts = append(v.Charts, depthBars(histogram))
	}
	if t != nil {
		v.Charts = append(v.Charts, t.charts()...)
	}
	return nil
}

// addSamples adds a card for each sample.
func (v *view) addSamples(samples []Sample) error {
	for i, s := range samples {
		card, err := cardOf(i, s)
		if err != nil {
			return fmt.Errorf("report: sample %d: %w", i, err)
		}
		v.Cards = append(v.Cards, card)
		if s.Layers > v.deepest {
			v.deepest = s.Layers
			v.Legend = legendOf(s.Layers)
		}
	}
	return nil
}

func (v *view) addCharts(charts []Chart) error {
	for _, c := range charts {
		cv, err := c.layout()
		if err != nil {
			return err
		}
		v.Charts = append(v.Charts, cv)
	}
	return nil
}

func (v view) render() ([]byte, error) {
	v.Style = template.CSS(styleSheet)
	return execute("page", v)
}

// execute fills in one of the templates of page.html; "page" is the file itself.
func execute(name string, view any) ([]byte, error) {
	t, err := template.New("page").Parse(pageSource)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, view); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	// Names may hold anything, such as those of files: what no page may hold becomes
	// a replacement character.
	return bytes.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, b.Bytes()), nil
}

func byline(machine string, date time.Time) string {
	parts := make([]string, 0, 2)
	if machine != "" {
		parts = append(parts, machine)
	}
	if !date.IsZero() {
		parts = append(parts, date.Format("2 January 2006, 15:04"))
	}
	return strings.Join(parts, " · ")
}

func ones(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = 1
	}
	return out
}

// tableView is a table; of a few rows also turned on its side, for narrow screens.
type tableView struct {
	Title  string
	Head   []cellView
	Rows   [][]cellView
	Turned [][]string // a line for each column: its heading, then each row's value
}

// maxTurned is how many models fit side by side on a phone.
const maxTurned = 3

type cellView struct {
	Text, Link string
	Left       bool
}

// view is t as the template has it.
func (t Table) view() *tableView {
	v := &tableView{Title: t.Title}
	linked := false
	for _, c := range t.Columns {
		v.Head = append(v.Head, cellView{Text: c.Head, Left: c.Left})
	}
	for _, r := range t.Rows {
		line := make([]cellView, len(t.Columns))
		for j, c := range t.Columns {
			line[j].Left = c.Left
			if j < len(r) {
				line[j].Text, line[j].Link = r[j].Text, r[j].Link
			}
			linked = linked || line[j].Link != ""
		}
		v.Rows = append(v.Rows, line)
	}
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

// swatch is one colour of the legend.
type swatch struct{ Fill, Ink, Text string }

func legendOf(layers int) []swatch {
	out := make([]swatch, 0, min(layers, maxSlots))
	for _, d := range pickFrames(layers, maxSlots) {
		c := DepthColor(d, layers)
		s := swatch{hex(c), hex(inkOn(c)), ""}
		if layers <= maxBarLabels || d == 1 || d == layers {
			s.Text = fmt.Sprint(d)
		}
		out = append(out, s)
	}
	return out
}
