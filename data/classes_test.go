package data

import (
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
)

func TestParseClasses(t *testing.T) {
	for text, want := range map[string]string{
		"cat\ndog":                 "cat|dog",
		"cat\r\nhot dog\r\n\n \n":  "cat|hot dog",
		"\uFEFF  Käse \nx":         "Käse|x",
		"0\n1\n2\n":                "0|1|2",
		"1 001.cat\n2 002.hot dog": "001.cat|002.hot dog",
		"0: cat\n1: dog":           "cat|dog",
		"1 cat\n3 dog":             "1 cat|3 dog",
	} {
		got, err := parseClasses([]byte(text))
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                                 "no class",
		" \n\r\n":                          "no class",
		"cat\n\ndog":                       "line 2 is empty",
		"\ncat":                            "line 1 is empty",
		"cat\ndog\ncat ":                   `lines 1 and 3 both say "cat"`,
		"c\xff":                            "UTF-8",
		"a\x1b[31mb":                       "line 1 holds a control character",
		strings.Repeat("x", 1001):          "line 1 has 1001 bytes",
		strings.Repeat("x\n", 1<<17) + "y": "131073 lines",
		"\uFEFFa\n\uFEFFb":                 "line 2 holds a control character",
	} {
		_, err := parseClasses([]byte(text))
		filetest.WantError(t, err, want)
	}
}

// FuzzClasses: names are what a list may have, and the list of them reads the same again.
func FuzzClasses(f *testing.F) {
	for _, s := range []string{"cat\ndog\n", "\uFEFFa\r\nb", "\uFEFF\uFEFFr", "a\n\nb", "a\na", "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		names, err := parseClasses(b)
		if err != nil {
			return
		}
		again, err := parseClasses([]byte(strings.Join(names, "\n")))
		if err != nil || !slices.Equal(names, again) || len(names) == 0 {
			t.Fatalf("%q, then %q, %v", names, again, err)
		}
	})
}
