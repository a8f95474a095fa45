package report

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// element is one start tag of a page.
type element struct {
	name string
	attr map[string]string
}

// parse reads a page as XML, which it also is, and so finds every tag that is not
// closed or not quoted. It returns the elements and all text.
func parse(t *testing.T, page []byte) (elements []element, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(string(page)))
	var all strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
		switch v := token.(type) {
		case xml.StartElement:
			e := element{v.Name.Local, map[string]string{}}
			for _, a := range v.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			elements = append(elements, e)
		case xml.CharData:
			all.Write(v)
			all.WriteByte(' ')
		}
	}
	return elements, all.String()
}

// check holds a page against what all pages promise. Links to other files must be among the given ones.
func check(t *testing.T, page []byte, links ...string) (elements []element, text string) {
	t.Helper()
	elements, text = parse(t, page)
	ids := map[string]bool{}
	for _, e := range elements {
		if id := e.attr["id"]; id != "" {
			if ids[id] {
				t.Errorf("id %q occurs twice", id)
			}
			ids[id] = true
		}
	}
	for _, e := range elements {
		switch e.name {
		case "script", "link", "iframe", "object", "embed", "base", "form":
			t.Errorf("the page has a <%s>", e.name)
		}
		for name, value := range e.attr {
			switch {
			case strings.HasPrefix(name, "on"):
				t.Errorf("<%s> has %s=%q", e.name, name, value)
			case name == "src" || name == "href" || name == "srcset" || name == "action":
				if rest, ok := strings.CutPrefix(value, "#"); ok {
					if !ids[rest] {
						t.Errorf("<%s> refers to %q, which is not there", e.name, value)
					}
				} else if e.name != "a" || !slices.Contains(links, value) {
					picture(t, value)
				}
			case name != "d" && e.name != "svg" && e.name != "img" &&
				(strings.Contains(value, "NaN") || strings.Contains(value, "Inf")):
				t.Errorf("<%s> has %s=%q", e.name, name, value)
			case name == "d" && !pathData.MatchString(value):
				t.Errorf("<%s> has a path of %q", e.name, value)
			}
		}
	}
	for _, bad := range []string{"ZgotmplZ", "http:", "https:", "//", "@import", "url(", "<no value>", "%!"} {
		s := string(page)
		if bad == "//" { // base64 may hold it
			s = regexp.MustCompile(`base64,[A-Za-z0-9+/=&#;]*`).ReplaceAllString(s, "")
		}
		if strings.Contains(s, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	for _, want := range []string{`<meta name="viewport"`, "prefers-color-scheme: dark", "<!DOCTYPE html>"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	return elements, text
}

var pathData = regexp.MustCompile(`^([MLHVZhvz]|-?[0-9.]+|[ ,])*$`)

// picture decodes a data URL.
func picture(t *testing.T, url string) image.Image {
	t.Helper()
	kind, data, ok := strings.Cut(url, ";base64,")
	if !ok || !strings.HasPrefix(kind, "data:image/") {
		t.Errorf("a reference to %.60q", url)
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		t.Error(err)
		return nil
	}
	img, format, err := image.Decode(strings.NewReader(string(b)))
	if err != nil || kind != "data:image/"+format {
		t.Errorf("%s holds %s: %v", kind, format, err)
	}
	return img
}

func countOf(elements []element, name, class string) int {
	n := 0
	for _, e := range elements {
		if e.name == name && (class == "" || e.attr["class"] == class) {
			n++
		}
	}
	return n
}

func TestPage(t *testing.T) {
	tally, err := NewTally(12, 7, 7, []string{"coat", "bag"})
	if err != nil {
		t.Fatal(err)
	}
	s := gradient(28, 28, 1, 7, 7, 12)
	photo := gradient(224, 224, 3, 14, 14, 12)
	for i := range 4 {
		if err := tally.Add(Seen{Class: i % 2, Right: i > 0, Depth: s.Depth, End: 12 - i%2}); err != nil {
			t.Fatal(err)
		}
	}
	rows := []Row{
		{Model: "dense", Top1: 92, Top5: 99, MeanDepth: 12, MACs: 4e6, DenseMACs: 4e6, ImagesPerSecond: 100, Speedup: 1},
		{Model: "adaptive", Top1: 91.9, Top5: math.NaN(), MeanDepth: 6, MACs: 2e6, DenseMACs: 4e6,
			ImagesPerSecond: 180, Speedup: 1.8},
	}
	p := Page{
		Title: "Report", Subtitle: "of a test", Machine: "two threads",
		Date:  time.Date(2025, 3, 4, 5, 6, 0, 0, time.UTC),
		Facts: Compare(rows[0], rows[1]), Table: Models(rows), Tally: tally,
		Samples: []Sample{s, photo, s}, Notes: []string{"a note"},
		Charts: []Chart{{
			Title: "extra", Series: []Series{{Name: "a", Y: []float64{1, 2}}, {Name: "b", Y: []float64{2, 1}}},
		}},
	}
	path := filepath.Join(t.TempDir(), "report.html")
	if err := WriteHTML(path, p); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	elements, text := check(t, page)
	for name, want := range map[string]int{"article": 3, "image": 3, "img": 3, "use": 36, "table": 2, "li": 1} {
		if got := countOf(elements, name, ""); got != want {
			t.Errorf("%d <%s>, want %d", got, name, want)
		}
	}
	if got := countOf(elements, "figure", "chart"); got != 6 {
		t.Errorf("%d charts, want 6", got)
	}
	for _, want := range []string{
		"Report", "of a test", "two threads · 4 March 2025, 05:06", "1.80×", "50 %", "−0.10", "92.00", "91.90", "180",
		"a note", "extra",
		"block 1: 49 of 49 patches", "block 12: 4 of 49 patches", "2 of 4 images (50.0%) ended in block 11",
		"coat: 6.50 blocks, mean of 2 images, of which 50.0 % were classified rightly", "wrong",
	} {
		if has := strings.Contains(text, want); has != (want != "wrong") {
			t.Errorf("the page's text has %q: %v", want, has)
		}
	}
	if len(page) > 400<<10 {
		t.Errorf("the page has %d bytes", len(page))
	}
}

// TestGonePath rasters the paths of a card again and holds them against the depths.
func TestGonePath(t *testing.T) {
	s := gradient(30, 17, 1, 7, 5, 12)
	s.Depth[0], s.Depth[1] = 1, 1 // neighbours that merge
	step := regexp.MustCompile(`M(\d+) (\d+)h(\d+)v(\d+)h-(\d+)z`)
	for layer := 1; layer <= 12; layer++ {
		d := gonePath(s, layer)
		gone := make([]int, 30*17)
		area := 0
		for _, m := range step.FindAllStringSubmatch(d, -1) {
			var x, y, w, h, back int
			if _, err := fmt.Sscan(strings.Join(m[1:], " "), &x, &y, &w, &h, &back); err != nil || w != back {
				t.Fatalf("%v: %v", m, err)
			}
			area += w * h
			for i := range w * h {
				gone[(y+i/w)*30+x+i%w]++
			}
		}
		if step.ReplaceAllString(d, "") != "" {
			t.Fatalf("path %q", d)
		}
		covered := 0
		eachPatch(s, image.Rect(0, 0, 30, 17), func(k int, r image.Rectangle) {
			want := 0
			if s.Depth[k] < layer {
				want = 1
				covered += r.Dx() * r.Dy()
			}
			for y := r.Min.Y; y < r.Max.Y; y++ {
				for x := r.Min.X; x < r.Max.X; x++ {
					if gone[y*30+x] != want {
						t.Fatalf("block %d: pixel %d,%d is covered %d times, want %d", layer, x, y, gone[y*30+x], want)
					}
				}
			}
		})
		if covered != area {
			t.Fatalf("block %d: %d pixels covered, want %d", layer, area, covered)
		}
	}
}

func TestPageEscapes(t *testing.T) {
	evil := `<script>alert("x")</script> & 'q' </title></style> \x00 ` + "\x00\x07\xff"
	s := gradient(28, 28, 1, 7, 7, 12)
	s.Title, s.Label, s.Predicted = evil, evil, evil+"!"
	tally, err := NewTally(12, 7, 7, []string{evil, evil})
	if err != nil {
		t.Fatal(err)
	}
	for c := range 2 {
		if err := tally.Add(Seen{Class: c, Depth: s.Depth}); err != nil {
			t.Fatal(err)
		}
	}
	lines := []Series{{Name: evil, Y: []float64{1, 2}}, {Name: evil, Y: []float64{1, 2}}}
	charts := []Chart{{Title: evil, XLabel: evil, YLabel: evil, Markers: true, Series: lines}}
	page, err := HTML(Page{
		Title: evil, Subtitle: evil, Machine: evil, Facts: []Fact{{evil, evil}},
		Table:  Models([]Row{{Model: evil, Precision: evil}}),
		Charts: charts, Samples: []Sample{s}, Notes: []string{evil}, Tally: tally,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, text := check(t, page)
	if n := strings.Count(text, `<script>alert("x")</script>`); n < 12 {
		t.Errorf("the title is in the text %d times, want 12 or more", n)
	}
	page, err = HTML(Page{
		Title: evil, Subtitle: evil, Machine: evil, Facts: []Fact{{evil, evil}}, Charts: charts,
		Settings: []Setting{{evil, evil}}, Notes: []string{evil},
	})
	if err != nil {
		t.Fatal(err)
	}
	check(t, page)
}

func TestPagesAtTheEdges(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	empty, err := NewTally(12, 7, 7, nil)
	if err != nil {
		t.Fatal(err)
	}
	noPatches, err := NewTally(4, 0, 0, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := noPatches.Add(Seen{Class: i}); err != nil {
			t.Fatal(err)
		}
	}
	odd := []Series{
		{Name: "nothing"}, {Name: "one", Y: []float64{3}}, {Name: "NaN", Y: []float64{nan, nan}},
		{Name: "gaps", Y: []float64{1, nan, 2, inf, 3, 4}},
		{Name: "huge", Y: []float64{-math.MaxFloat64, math.MaxFloat64}}, {Name: "tiny", Y: []float64{5e-324, 1e-323}},
		{Name: "x unknown", X: []float64{nan, inf, 1}, Y: []float64{1, 2, 3}}, {Name: "flat", Y: []float64{-2, -2, -2}},
		{Name: "zero", Y: []float64{0, 0}}, {Name: "narrow", Y: []float64{1, 1 + 1e-15}},
	}
	var charts []Chart
	for _, s := range odd {
		charts = append(charts, Chart{Title: "plain", Series: []Series{s}},
			Chart{Title: "all on", shares: true, Markers: true, Series: []Series{s}})
	}
	charts = append(charts, Chart{}, Chart{Title: "all", Series: odd})
	card := gradient(28, 28, 1, 7, 7, 12)
	card.Probability = nan
	deep, one := gradient(28, 28, 1, 7, 7, 200), gradient(4, 4, 1, 1, 1, 1)
	tallies := map[*Sample]*Tally{}
	for _, s := range []*Sample{&deep, &one} {
		if tallies[s], err = NewTally(s.Layers, s.GridW, s.GridH, nil); err != nil {
			t.Fatal(err)
		}
		if err := tallies[s].Add(Seen{Class: -1, Depth: s.Depth}); err != nil {
			t.Fatal(err)
		}
	}
	for name, p := range map[string]Page{
		"nothing": {},
		"empty slices": {Table: Models([]Row{}), Samples: []Sample{}, Charts: []Chart{}, Scatters: []Scatter{},
			Tables: []Table{}},
		"zeros":     {Table: Models([]Row{{}})},
		"one block": {Tally: tallies[&one], Samples: []Sample{one}},
		"NaN": {Table: Models([]Row{
			{"m", nan, nan, nan, nan, nan, nan, nan, 0, 0, ""},
			{"m", inf, inf, inf, inf, inf, inf, -inf, 0, 0, ""},
		}), Facts: Compare(Row{Top1: nan, MeanDepth: nan}, Row{MeanDepth: nan}), Samples: []Sample{card}},
		"deep":        {Tally: tallies[&deep], Samples: []Sample{deep}},
		"no patches":  {Samples: []Sample{gradient(6, 6, 3, 0, 0, 4)}, Tally: noPatches},
		"empty tally": {Tally: empty},
		"odd charts":  {Charts: charts},
	} {
		t.Run(name, func(t *testing.T) {
			page, err := HTML(p)
			if err != nil {
				t.Fatal(err)
			}
			check(t, page)
		})
	}
}

func TestPageErrors(t *testing.T) {
	bad := []Chart{{Title: "c", Series: []Series{{Name: "s", X: []float64{1}, Y: []float64{1, 2}}}}}
	want := `chart "c", line "s": 1 values of x and 2 of y`
	if _, err := HTML(Page{Charts: bad}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v", err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "report.html")
	if err := WriteHTML(path, Page{Title: "first"}); err != nil {
		t.Fatal(err)
	}
	if err := WriteHTML(path, Page{Charts: bad}); err == nil {
		t.Error("no error")
	}
	if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), "first") {
		t.Errorf("the old page is gone: %v", err)
	}
	if err := WriteHTML(filepath.Join(dir, "no", "page.html"), Page{}); err == nil {
		t.Error("no error for a folder that is not there")
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("the folder holds %v", left)
	}
}
