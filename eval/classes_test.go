package eval

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/vit"
)

// TestMatchClasses: names decide; numbers and places only where no name matches.
func TestMatchClasses(t *testing.T) {
	config := func(labels ...string) vit.Config { return vit.Config{Classes: len(labels), Labels: labels} }
	pets, bare := config("cat", "dog", "owl"), config("LABEL_0", "LABEL_1", "LABEL_2")
	var numbers, wordNets, ids []string
	for i := range 12 {
		numbers = append(numbers, fmt.Sprint(i))
		wordNets = append(wordNets, fmt.Sprintf("thing %d", i))
		ids = append(ids, fmt.Sprintf("n%08d", 100+i))
	}
	padded := []string{"00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11"}
	for _, c := range []struct {
		config vit.Config
		names  string
		n      Named
		u      Unknown
		by     By
		want   []int  // nil: an error
		fault  string // what it says
	}{
		{config: pets, names: "cat dog owl", by: ByName, want: []int{0, 1, 2}},
		{config: pets, names: "owl cat", by: ByName, want: []int{2, 0}},
		{config: config("cafe\u0301", "tea"), names: "tea caf\u00e9", by: ByName, want: []int{1, 0}},
		{config: pets, names: "dog owl pig", fault: "1 of 3 are none of its classes: pig (the data has dog, owl, pig; " +
			"the model cat, dog, owl)"},
		{config: pets, names: "dog owl pig", u: UnknownPosition, fault: "pig"},
		{config: pets, names: "dog owl pig", u: UnknownSkipped, by: ByName, want: []int{1, 2, -1}},
		{config: pets, names: "dog owl pig", n: Named{Used: []bool{true, true, false}}, by: ByName, want: []int{1, 2, -1}},
		{config: pets, names: "pig hen cow", fault: "none of the data's classes, though there are as many of both: the " +
			"data has 3 classes (pig, hen, cow), the model 3 (cat, dog, owl)"},
		{config: pets, names: "pig hen cow", u: UnknownSkipped, fault: "none of the data's classes"},
		{config: pets, names: "pig hen cow", u: UnknownPosition, by: ByPosition, want: []int{0, 1, 2}},
		{config: pets, names: "pig hen cow", n: Named{Listed: true}, by: ByPosition, want: []int{0, 1, 2}},
		{config: pets, names: "pig hen", n: Named{Listed: true}, u: UnknownPosition,
			fault: "as many of both: the data has 2 classes"},
		{config: pets, names: "0 1 2", by: ByNumber, want: []int{0, 1, 2}},
		{config: pets, names: "1 2 3", by: ByNumber, want: []int{0, 1, 2}},                          // counted from 1
		{config: bare, names: "0 10 2", n: Named{Listed: true}, by: ByNumber, want: []int{0, 1, 2}}, // as the list has them
		{config: pets, names: "0 2", by: ByNumber, want: []int{0, 2}},
		{config: pets, names: "0 1 2 3", fault: "the data has 4 classes, 0, 1, 2, 3, the model 3, numbered from 0"},
		{config: bare, names: "1 3", fault: "numbered from 0"},
		{config: bare, names: "a b c", by: ByPosition, want: []int{0, 1, 2}}, // there is no name to go against
		{config: vit.Config{Classes: 3}, names: "a b c", by: ByPosition, want: []int{0, 1, 2}},
		{config: bare, names: "a b", fault: "the data has 2 classes (a, b), the model 3 (LABEL_0, LABEL_1, LABEL_2)"},
		{config: config(numbers...), names: strings.Join(padded, " "), by: ByName, want: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
			10, 11}},
		{config: config("10", "9", "8"), names: "8 9 10", by: ByName, want: []int{2, 1, 0}},
		{config: config(wordNets...), names: strings.Join(ids, " "), by: ByNumber, want: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
			10, 11}},
		{config: config(wordNets...), names: strings.Join(ids[:9], " "), fault: "the data has 9 classes"},
		{config: config("crane", "crane", "owl"), names: "owl crane", fault: `the model's classes 0 and 1 are ` +
			`both called "crane"`},
		{config: config("crane", "crane", "owl"), names: "owl", by: ByName, want: []int{2}},
		{config: config("crane", "crane", "owl"), names: "crane crane owl", by: ByName, want: []int{0, 1, 2}},
	} {
		c.n.Names = strings.Fields(c.names)
		got, err := MatchClasses(c.config, c.n, c.u)
		switch {
		case c.want == nil && (err == nil || !strings.Contains(err.Error(), c.fault)):
			t.Errorf("%v against %v, %q: %v, want %q", c.names, c.config.Labels, c.u, err, c.fault)
		case c.want != nil && (err != nil || got.By != c.by || !slices.Equal(got.Class, c.want)):
			t.Errorf("%v against %v, %q: %+v, %v; want %v by %s", c.names, c.config.Labels, c.u, got, err, c.want, c.by)
		}
	}
	if _, err := ParseUnknown("guess"); err == nil {
		t.Error("a word that means nothing: no error")
	}
}

// TestMatch: an evaluation by names does not depend on the order of the classes, pictures of unknown ones are left out.
func TestMatch(t *testing.T) {
	m, d := modeltest.Small(t, false), modeltest.Fashion(t)
	m.Params.Config.Labels = slices.Clone(d.Classes())
	want, err := Run(t.Context(), m, d, Options{Limit: 50})
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Clone(d.Classes())
	slices.Reverse(names)
	back := []int{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}
	turned, err := data.Relabel(d, back, names)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Run(t.Context(), m, turned, Options{Limit: 50}); err != nil || got.Top1 != want.Top1 ||
		got.Top5 != want.Top5 {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	names[9] = "hat" // which was the T-shirts' class
	if turned, err = data.Relabel(d, back, names); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), m, turned, Options{Limit: 50}); !errors.Is(err, ErrSomeUnknown) {
		t.Errorf("an unknown class: %v", err)
	}
	var log strings.Builder
	left, err := Match(m.Params.Config, turned, UnknownSkipped, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil || !slices.Equal(left.Classes(), d.Classes()) || !strings.Contains(log.String(), "classes=hat") {
		t.Fatalf("%v, log %s", err, log.String())
	}
	for i := range left.Len() {
		if left.Label(i) == 0 {
			t.Fatal("a picture of the unknown class is left")
		}
	}
	if c := data.ContentsOf("test", left); c.Classes != 9 || len(c.Skipped) != 1 || c.Skipped[0].First != "hat" ||
		c.Skipped[0].Count+c.Pictures != d.Len() {
		t.Errorf("%+v", c)
	}
}
