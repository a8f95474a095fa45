package report

import (
	"bytes"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
)

func ExampleModels() {
	Models([]Row{
		{Model: "dense", Top1: 92.81, MeanDepth: 12, MACs: 68.1e6, DenseMACs: 68.1e6, ImagesPerSecond: 1840, Speedup: 1},
		{Model: "adaptive", Top1: 92.66, MeanDepth: 6.31, MACs: 36.2e6, DenseMACs: 68.1e6, ImagesPerSecond: 3311,
			Speedup: 1.799},
	}).WriteText(os.Stdout)
	// Output:
	// model     top-1 %  mean depth  MACs/image  of dense  images/s  speed-up
	// ───────────────────────────────────────────────────────────────────────
	// dense       92.81       12.00      68.1 M      1.00      1840     1.00×
	// adaptive    92.66        6.31      36.2 M      0.53      3311     1.80×
}

func TestTableOfOddRows(t *testing.T) {
	nan := math.NaN()
	var b bytes.Buffer
	err := Models([]Row{
		{Model: "ünï\n\x1b[31mcode", Top1: nan, MeanDepth: nan, Speedup: math.Inf(1), ImagesPerSecond: 5,
			Precision: "int8"},
		{Model: "b", Top1: 1, MeanDepth: 2},
	}).WriteText(&b)
	if err != nil {
		t.Fatal(err)
	}
	want := "model         top-1 %  mean depth  images/s  precision\n" +
		strings.Repeat("─", 54) + "\n" +
		"ünï [31mcode        –           –      5.00  int8\n" +
		"b                1.00        2.00         –  –\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	if err := Models(nil).WriteText(&b); err != nil || b.String() != "model\n─────\n" {
		t.Errorf("no rows: %q, %v", b.String(), err)
	}
	if err := Models(nil).WriteText(brokenPipe{}); err == nil || !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
}

var errBroken = errors.New("broken")

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }

func TestQuantities(t *testing.T) {
	for v, want := range map[float64]string{
		0: dash, -1: dash, math.Inf(1): dash, 7: "7", 999: "999", 1000: "1.00 k", 999_600: "1.00 M",
		1.2567e9: "1.26 G", 17.56e9: "17.6 G",
		99.96e6: "100 M", 461e9: "461 G", 3e12: "3.00 T",
	} {
		if got := quantity(v); got != want {
			t.Errorf("quantity(%v) = %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: dash, 0.5: "0.50", 12.34: "12.3", 123.4: "123", 4567.8: "4568"} {
		if got := threeDigits(v); got != want {
			t.Errorf("three digits of %v: %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{
		0: "0", 0.25: "0.25", 15000: "15k", 2e-5: "2e-05", 2.5e6: "2.5M", -12345: "-12.35k", 1e15: "1e+15", 3e9: "3G",
	} {
		if got := trimNumber(v); got != want {
			t.Errorf("trimNumber(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestCompare(t *testing.T) {
	base := Row{Top1: 92, MeanDepth: 12, MACs: 100, ImagesPerSecond: 10}
	for _, c := range []struct {
		row  Row
		want string
	}{
		{Row{Top1: 91.75, MeanDepth: 6.25, MACs: 53, ImagesPerSecond: 17.5}, "1.75× 53 % −0.25 6.2"},
		{Row{Top1: 92.001, MeanDepth: math.NaN()}, "±0.00"},
		{Row{Top1: 93}, "+1.00"},
		{Row{Top1: math.NaN(), ImagesPerSecond: math.NaN(), MACs: math.NaN()}, ""},
	} {
		var got []string
		for _, f := range Compare(base, c.row) {
			got = append(got, f.Value)
			if f.Label == "" {
				t.Errorf("%q says nothing", f.Value)
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("got %q, want %q", s, c.want)
		}
	}
	if got := Compare(Row{}, Row{}); len(got) != 1 || got[0].Value != "±0.00" {
		t.Errorf("of nothing measured: %v", got)
	}
}

func TestTableOutputs(t *testing.T) {
	table := Table{Columns: []Column{{"scheme", true}, {"top-1 %", false}, {"log", true}}, Rows: [][]Cell{
		{{"token", ""}, {"92.10 ± 0.05", ""}, {"log", "token-seed1/log.jsonl"}}, {{"a|b <i>\n*x* [y]", ""}},
	}}
	const want = "| scheme | top-1 % | log |\n|:---|---:|:---|\n" +
		"| token | 92.10 ± 0.05 | [log](<token-seed1/log.jsonl>) |\n| a\\|b &lt;i> \\*x\\* \\[y\\] |  |  |\n"
	if got := table.Markdown(); got != want {
		t.Errorf("Markdown\n%s\nwant\n%s", got, want)
	}
	var b bytes.Buffer
	if err := table.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	text := "scheme                top-1 %  log\n" + strings.Repeat("─", 34) + "\n" +
		"token            92.10 ± 0.05  log\na|b <i> *x* [y]\n"
	if b.String() != text {
		t.Errorf("text\n%s\nwant\n%s", b.String(), text)
	}
}
