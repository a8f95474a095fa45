package strictjson

import "testing"

func TestDifferences(t *testing.T) {
	for _, c := range []struct{ before, now, want string }{
		{`{"a": 1, "b": [1, {"c": "x"}]}`, `{"b": [1, {"c": "x"}], "a": 1}`, ""},
		{`{"lr": 0.1, "halting": {"policy": "none"}}`, `{"lr": 0.2, "halting": {"policy": "token", "gate": 3}}`,
			"halting.gate (none) → 3, halting.policy none → token, lr 0.1 → 0.2"},
		{`{"l": ["a", "b"]}`, `{"l": ["a", "c", "d"]}`, "l.1 b → c, l.2 (none) → d"},
		{`{"l": []}`, `{"l": null}`, "l [] → <nil>"},
		{`[0,0,0,0,0,0,0,0,0,0,0,0]`, `[1,1,1,1,1,1,1,1,1,1,1,1]`, "0 0 → 1, 1 0 → 1, 2 0 → 1, 3 0 → 1, 4 0 → 1, " +
			"5 0 → 1, 6 0 → 1, 7 0 → 1, 8 0 → 1, 9 0 → 1 and 2 more"},
		{`1`, `2`, "all of it 1 → 2"},
	} {
		if got, err := Differences([]byte(c.before), []byte(c.now)); got != c.want || err != nil {
			t.Errorf("%s and %s: %q, %v; want %q", c.before, c.now, got, err, c.want)
		}
	}
	if _, err := Differences([]byte("{"), []byte("1")); err == nil {
		t.Error("half an object: no error")
	}
}
