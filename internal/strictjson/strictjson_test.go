package strictjson

import (
	"strings"
	"testing"
)

func TestUnmarshal(t *testing.T) {
	type inner struct {
		A int `json:"a"`
	}
	type outer struct {
		B inner   `json:"b"`
		C float64 `json:"c"`
	}
	v := outer{C: 3}
	if err := Unmarshal([]byte(` {"b": {"a": 5}} `), &v); err != nil || v.B.A != 5 || v.C != 3 {
		t.Errorf("%+v, %v", v, err)
	}
	for text, want := range map[string]string{
		"":                          "the file is empty",
		" \n":                       "the file is empty",
		"{":                         "unexpected EOF",
		"{} {}":                     "after top-level value",
		"[]":                        "unmarshal JSON array",
		`{"c": "x"}`:                `within "/c"`,
		`{"d": 1}`:                  `unknown field "d"`,
		`{"C": 1}`:                  `unknown field "C"`,
		`{"c": 1, "c": 2}`:          `field "c" appears twice`,
		`{"b": {"a": 1, "a": 1}}`:   `field "a" appears twice in b`,
		`{"b": {"A": 1}}`:           `unknown field "A" in b`,
		"{\"b\": {\"\xff\": 1}}":    "invalid UTF-8",
		`{"b": {"x": {"y": [{}]}}}`: `unknown field "x" in b`,
	} {
		if err := Unmarshal([]byte(text), &v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
