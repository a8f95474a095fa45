package strictjson

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recipe has a value of every kind.
type recipe struct {
	Name  string             `json:"name"`
	Steps int                `json:"steps"`
	Batch uint               `json:"batch"`
	Rate  float64            `json:"rate"`
	Flip  bool               `json:"flip"`
	Range [2]float64         `json:"range"`
	List  []int              `json:"list"`
	Crop  *crop              `json:"crop"`
	Own   own                `json:"own"`
	Parts map[string]float64 `json:"parts"`
	Raw   json.RawMessage    `json:"raw"`
}

type crop struct {
	Side int `json:"side"`
}

// own has a method of its own that reads it, strictly.
type own struct{ side int }

func (o *own) UnmarshalJSON(b []byte) error {
	var c crop
	if err := Unmarshal(b, &c); err != nil {
		return err
	}
	if c.Side < 0 {
		return errors.New("less than nothing")
	}
	o.side = c.Side
	return nil
}

func TestUnmarshal(t *testing.T) {
	r := recipe{Rate: 3, Flip: true, Range: [2]float64{1, 2}, Name: "usual"}
	text := ` {"steps": 7, "batch": 2, "rate": null, "flip": null, "range": null, "name": null, "list": [1, 2],
		"crop": {"side": 9}, "own": {"side": 8}, "parts": {"a": 1.5}, "raw": {"x" : 1}} ` + "\n"
	if err := Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	want := recipe{Name: "usual", Steps: 7, Batch: 2, Rate: 3, Flip: true, Range: [2]float64{1, 2}, List: []int{1, 2},
		Crop: &crop{9}, Own: own{8}, Parts: map[string]float64{"a": 1.5}, Raw: json.RawMessage(`{"x" : 1}`)}
	if diff := cmp.Diff(want, r, cmp.AllowUnexported(own{})); diff != "" {
		t.Error(diff)
	}
	if err := UnmarshalKnown([]byte(`{"Steps": 8, "other": [{"a": 1}], "crop": {"depth": 1}}`), &r); err != nil ||
		r.Steps != 7 {
		t.Error(err, r.Steps)
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{``, "invalid JSON at byte 0: unexpected end"},
		{`{"steps": 1`, "invalid JSON at byte 11: unexpected end"},
		{`{"steps": 1}}`, "invalid JSON at byte 12: invalid character '}' after top-level value"},
		{`{"steps" 1}`, "invalid JSON at byte 9: invalid character '1' after object name (expecting ':')"},
		{`[]`, "an array where an object was expected"},
		{"{\"a\": \"\xff\"}", "not valid UTF-8"},
		{`{"steps": 1, "steps": 1}`, `key "steps" appears twice`},
		{`{"steps": 1, "st\u0065ps": 1}`, `key "steps" appears twice`},
		{`{"crop": {"side": 1, "side": 2}}`, `key "crop": key "side" appears twice`},
		{`{"raw": {"side": 1, "side": 2}}`, `key "raw": key "side" appears twice`},
		{`{"own": {"side": 1, "side": 2}}`, `key "own": key "side" appears twice`},
		{`{"Steps": 1}`, `unknown key "Steps"`},
		{`{"crop": {"depth": 1}}`, `key "crop": unknown key "depth"`},
		{`{"own": {"depth": 1}}`, `key "own": unknown key "depth"`},
		{`{"own": {"side": -1}}`, `key "own": less than nothing`},
		{`{"own": {"side": "x"}}`, `key "own": key "side": a string where a whole number was expected`},
		{`{"steps": 1.5}`, `key "steps": number 1.5 is not a whole number`},
		{`{"steps": 1e99}`, `key "steps": number 1e99 is not a whole number`},
		{`{"steps": 99999999999999999999}`, `key "steps": number 99999999999999999999 is out of range`},
		{`{"batch": -1}`, `key "batch": number -1 is not a whole number from 0 on`},
		{`{"rate": 1e999}`, `key "rate": number 1e999 is out of range`},
		{`{"rate": {}}`, `key "rate": an object where a number was expected`},
		{`{"rate": []}`, `key "rate": an array where a number was expected`},
		{`{"flip": 1}`, `key "flip": a number where true or false was expected`},
		{`{"name": true}`, `key "name": a boolean where a string was expected`},
		{`{"range": [1]}`, `key "range": too few array elements: 2 are wanted`},
		{`{"range": [1, 2, 3]}`, `key "range": too many array elements: 2 are wanted`},
		{`{"list": [1, "2"]}`, `key "list.1": a string where a whole number was expected`},
		{`{"list": 1}`, `key "list": a number where an array was expected`},
		{`{"parts": {"a/b~c": null, "a.b": false}}`, `key "parts.a.b": a boolean where a number was expected`},
		{`{"parts": {"a/b~c": ""}}`, `key "parts.a/b~c": a string where a number was expected`},
		{`{"name": "\ud800"}`, "invalid JSON at byte 10: invalid surrogate pair `\\ud800\"}` in string"},
		{`{"` + strings.Repeat("x", 9999) + `": 1}`,
			`unknown key "` + strings.Repeat("x", 60) + "…" + strings.Repeat("x", 60) + `"`},
	} {
		var r recipe
		if err := Unmarshal([]byte(c.text), &r); err == nil || err.Error() != c.want {
			t.Errorf("%.99s: error %q, want %q", c.text, err, c.want)
		}
	}
	deep := strings.Repeat(`{"raw":`, 1e6)
	if err := UnmarshalKnown([]byte(deep), new(recipe)); err == nil || len(err.Error()) > 200 {
		t.Errorf("a very deep text: %.300v", err)
	}
}

func TestNoNull(t *testing.T) {
	for text, want := range map[string]string{
		` null`:                  "null where an object was expected",
		`{"own": null}`:          `key "own": null where an object was expected`,
		`{"steps": null}`:        `key "steps": null where a whole number was expected`,
		`{"crop": null}`:         `key "crop": null where an object was expected`,
		`{"list": [1, null]}`:    `key "list.1": null where a whole number was expected`,
		`{"parts": {"a": null}}`: `key "parts.a": null where a number was expected`,
	} {
		if err := Unmarshal([]byte(text), new(recipe), NoNull); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
	var r recipe
	if err := UnmarshalKnown([]byte(`{"steps": 3, "x": null, "list": [1]}`), &r, NoNull); err != nil ||
		r.Steps != 3 || len(r.List) != 1 {
		t.Error(err, r)
	}
}
