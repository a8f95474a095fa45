package halting

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// with returns a scheme's configuration with constants, given as key, value, ….
func with(name string, pairs ...any) Config {
	c := Config{Scheme: name}
	for i := 0; i < len(pairs); i += 2 {
		c = c.With(pairs[i].(string), pairs[i+1])
	}
	return c
}

func TestConfigJSON(t *testing.T) {
	gates := func(name string, scale, center, epsilon float64) Config {
		return with(name, "gate_scale", scale, "gate_center", center, "epsilon", epsilon)
	}
	for text, want := range map[string]Config{
		`{"policy":"token","gate_scale":10,"gate_center":75,"epsilon":0.02}`: gates("token", 10, 75, 0.02),
		`{"gate_center":12}`: gates("token", 10, 12, 0.01),
		`{"policy":"none","gate_scale":0,"gate_center":0,"epsilon":0}`: Dense(),
		`{"policy":"act"}`:                         gates("act", 10, 30, 0.01),
		`{"policy":"ponder","epsilon":0.9}`:        gates("ponder", 1, 2, 0.9),
		`{"policy":"similarity","threshold":-0.5}`: with("similarity", "threshold", -0.5),
		`{"policy":"topk","keep":0.5,"layers":[2,5],"fuse":true}`: with("topk", "keep", 0.5,
			"layers", []int{2, 5}, "fuse", true),
		`{"policy":"topk"}`:           with("topk", "keep", 0.7),
		`{"policy":"tome","merge":0}`: with("tome", "merge", 0),
	} {
		var c Config
		if err := json.Unmarshal([]byte(text), &c); err != nil || !reflect.DeepEqual(c, want) {
			t.Errorf("%s: read %+v and error %v, want %+v", text, c, err, want)
		}
	}
	for text, fault := range map[string]string{
		`{"policy":"token","gate":1}`:                  `"gate" means nothing to scheme "token"`,
		`{"policy":"psychic"}`:                         "not known",
		`{"policy":""}`:                                "not known",
		`{"policy":"token","epsilon":0.9}`:             "epsilon",
		`{"policy":"token","gate_scale":1e300}`:        "gate_scale",
		`{"policy":"token","gate_center":"far"}`:       "gate_center is far, want a number",
		`[]`:                                           "an array where an object was expected",
		`{"policy":"token","threshold":0.5}`:           `"threshold" means nothing to scheme "token"`,
		`{"policy":"none","threshold":0.5}`:            `"threshold" means nothing to scheme "none"`,
		`{"policy":"confidence","gate_center":1}`:      `"gate_center" means nothing to scheme "confidence"`,
		`{"policy":"tome","layers":[1]}`:               `"layers" means nothing to scheme "tome"`,
		`{"policy":"tome","fuse":false}`:               `"fuse" means nothing to scheme "tome"`,
		`{"policy":"confidence","threshold":1.5}`:      "threshold is 1.5, want 0 to 1",
		`{"policy":"similarity","threshold":-2}`:       "want -1 to 1",
		`{"policy":"topk","keep":2}`:                   "keep is 2",
		`{"policy":"topk","layers":[]}`:                "layers is empty",
		`{"policy":"topk","layers":[3,3]}`:             "increasing",
		`{"policy":"topk","layers":[0]}`:               "from 1 on",
		`{"policy":"topk","layers":[1,9999999]}`:       "layers are",
		`{"policy":"tome","merge":-1}`:                 "merge is -1",
		`{"policy":"token"} {}`:                        "after top-level value",
		`{"policy":"token","gate_scale":1,"policy":1}`: `key "policy" appears twice`,
	} {
		c := Config{Scheme: "kept"}
		if err := json.Unmarshal([]byte(text), &c); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: error %v, want one that says %q", text, err, fault)
		}
		if c.Scheme != "kept" {
			t.Errorf("%s: an error, and the configuration is %+v all the same", text, c)
		}
	}
}

// TestConfigWritten: what is written is what the scheme knows, in the order that models on disk have, and reads back as
// it was.
func TestConfigWritten(t *testing.T) {
	for _, name := range Names() {
		c := with(name)
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back Config
		if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, c) {
			t.Errorf("%s is written as %s and read as %+v, %v", name, text, back, err)
		}
		if s := c.String(); !strings.HasPrefix(s, name) {
			t.Errorf("%s is called %q", name, s)
		}
	}
	all := with("other", "gate_scale", 10, "gate_center", 30, "epsilon", 0.01, "threshold", 7, "keep", 7,
		"layers", []int{7}, "fuse", true, "merge", 7)
	for scheme, want := range map[string]string{
		"token": `{"policy":"token","gate_scale":10,"gate_center":30,"epsilon":0.01}`,
		"none":  `{"policy":"none"}`,
		"":      `{"policy":"none"}`,
		"topk":  `{"policy":"topk","keep":7,"layers":[7],"fuse":true}`,
		"tome":  `{"policy":"tome","merge":7}`,
	} {
		all.Scheme = scheme
		if got, err := json.Marshal(all); err != nil || string(got) != want {
			t.Errorf("%q is written as %s, %v, want %s", scheme, got, err, want)
		}
	}
}

func TestValidateFor(t *testing.T) {
	c := with("topk", "keep", 0.5, "layers", []int{3, 12})
	if err := c.ValidateFor(12); err != nil {
		t.Error(err)
	}
	if err := c.ValidateFor(11); err == nil || !strings.Contains(err.Error(), "11 blocks") {
		t.Errorf("block 12 of 11: %v", err)
	}
	c = with("tome") // which has no layers
	if err := c.ValidateFor(2); err != nil {
		t.Error(err)
	}
}

// TestNewTraining: which schemes learn, and how.
func TestNewTraining(t *testing.T) {
	for _, name := range Names() {
		c := with(name)
		if _, err := New(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s, err := NewTraining(c)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, learns := s.(Learner)
		if want := c.Number("gate_scale") != 0; learns != want {
			t.Errorf("%s: learns is %v", name, learns)
		}
		_, deep := s.(Supervised)
		if want := name == "ponder" || name == "confidence"; deep != want {
			t.Errorf("%s: deep is %v", name, deep)
		}
		if !deep {
			continue
		}
		// No image stops before the last block, sure as it may be.
		var st State
		st.Reset(1)
		for l := 1; l <= 3; l++ {
			s.Step(&st, Rows{Layer: l, Layers: 3, X: []float32{1e6}, Stride: 1, Token: []int32{0},
				Score: make([]float32, 1), Weight: make([]float32, 1)})
			if halted := st.Depth[0] != 0; halted != (l == 3) {
				t.Errorf("%s: in training the image has halted after block %d: %v", name, l, halted)
			}
		}
	}
	if _, err := New(Config{Scheme: "psychic"}); err == nil {
		t.Error("a scheme that nobody knows")
	}
}

// TestTuning: With sets what Tuning tells, every value on the way from Lo to Hi is valid, and dense models have none.
func TestTuning(t *testing.T) {
	for _, name := range Names() {
		c := with(name)
		at := c.Tuning()
		if (at.Key != "") != c.Adaptive() {
			t.Fatalf("%s: to tune is %q", name, at.Key)
		}
		if at.Key == "" {
			continue
		}
		if at.Value < min(at.Lo, at.Hi) || at.Value > max(at.Lo, at.Hi) {
			t.Errorf("%s: %v is not between %v and %v", name, at.Value, at.Lo, at.Hi)
		}
		for i := range 11 {
			want := at.Lo + (at.Hi-at.Lo)*float64(i)/10
			d := c.With(at.Key, want)
			if err := d.Validate(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := d.Tuning().Value; got != want {
				t.Errorf("%s: set to %v, %v", name, want, got)
			}
		}
	}
}

// FuzzConfigJSON: whatever is read is valid, and is what comes back when it is written.
func FuzzConfigJSON(f *testing.F) {
	for _, text := range []string{`{"policy":"token"}`, `{"policy":"topk","keep":0.5,"layers":[2,5],"fuse":true}`,
		`{"policy":"tome","merge":1e3}`, `{}`, `[1]`, `{"policy":"ponder","epsilon":0.5}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c, back Config
		if json.Unmarshal([]byte(text), &c) != nil || strings.TrimSpace(text) == "null" {
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("%q reads as %+v, which is not valid: %v", text, c, err)
		}
		if _, err := New(c); err != nil {
			t.Fatal(err)
		}
		written, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(written, &back); err != nil || !reflect.DeepEqual(c, back) {
			t.Fatalf("%q reads as %+v, is written as %s, and that reads as %+v: %v", text, c, written, back, err)
		}
	})
}

func TestParse(t *testing.T) {
	for text, want := range map[string]Config{
		"none": Dense(), "tome": with("tome"), "tome,merge=2.5": with("tome", "merge", 2.5),
		"topk,fuse=true,keep=0.5":                with("topk", "fuse", true, "keep", 0.5),
		"5,2":                                    with("token", "gate_scale", 5, "gate_center", 2),
		" 5, -2e1, 0.1":                          with("token", "gate_scale", 5, "gate_center", -20, "epsilon", 0.1),
		`{"policy":"topk","layers":[1,3]}`:       with("topk", "layers", []int{1, 3}),
		"token,gate_scale=null,gate_center=null": with("token"),
	} {
		if c, err := Parse(text); err != nil || !reflect.DeepEqual(c, want) {
			t.Errorf("%s: read %+v and error %v, want %+v", text, c, err, want)
		}
	}
	for text, fault := range map[string]string{
		"": `"" is not known`, "psychic": "not known", "tome,merge": "KEY=VALUE", "tome,merge=": "merge",
		"tome,merge=-1": "merge is -1", "tome,keep=1": "means nothing", "5": "SCALE,CENTER",
		"5,2,0.1,7": "SCALE,CENTER", "5,x": "gate_center", "5,1e9": "gate_center",
		"nan,1": "gate_scale", `{"policy":"tome"`: "unexpected end", "act,policy=token": "means nothing",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: error %v, want one that says %q", text, err, fault)
		}
	}
}
