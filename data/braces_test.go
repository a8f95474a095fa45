package data

import (
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
)

func TestExpandBraces(t *testing.T) {
	for pattern, want := range map[string]string{
		"a.tar":               "a.tar",
		"":                    "",
		"s-{008..011}.tar":    "s-008.tar s-009.tar s-010.tar s-011.tar",
		"{8..11}":             "8 9 10 11",
		"{08..11}":            "08 09 10 11",
		"{8..011}":            "008 009 010 011",
		"{5..5}":              "5",
		"{a,b}-{0..1}.tar":    "a-0.tar a-1.tar b-0.tar b-1.tar",
		"x{,y}":               "x xy",
		"{a,b,c}":             "a b c",
		"{0..1}{0..1}":        "00 01 10 11",
		"{train,val}/{00..1}": "train/00 train/01 val/00 val/01",
	} {
		got, err := expandBraces(pattern)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v; want %q", pattern, got, err, want)
		}
	}
	for pattern, want := range map[string]string{
		"a{0..2":                                "without its }",
		"a}":                                    "without its {",
		"a{{0..1},b}":                           "without its }",
		"{a}":                                   "want numbers",
		"{}":                                    "want numbers",
		"{..}":                                  "two numbers",
		"{1..}":                                 "two numbers",
		"{-1..3}":                               "two numbers",
		"{1..1.5}":                              "two numbers",
		"{3..1}":                                "the larger one",
		"{0..100000}":                           "more than 100000",
		"{0..9223372036854775807}":              "more than 100000",
		"{0..99999999999999999999999999}":       "two numbers",
		"{1..300}{1..400}":                      "more than 100000",
		strings.Repeat("{0..9}", 100) + "x.tar": "more than 100000",
	} {
		_, err := expandBraces(pattern)
		filetest.WantError(t, err, want)
	}
}

// FuzzBraces: a pattern gives a bounded number of names without braces.
func FuzzBraces(f *testing.F) {
	for _, s := range []string{"s-{000..012}.tar", "{a,b}{1..9}", "{", "}{", "{{}}", "{0..99999}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		names, err := expandBraces(pattern)
		if err != nil {
			return
		}
		if len(names) < 1 || len(names) > maxNames ||
			slices.ContainsFunc(names, func(s string) bool { return strings.ContainsAny(s, "{}") }) {
			t.Fatalf("%d names of %q", len(names), pattern)
		}
		if !strings.ContainsAny(pattern, "{}") && !slices.Equal(names, []string{pattern}) {
			t.Fatalf("%q became %q", pattern, names)
		}
	})
}
