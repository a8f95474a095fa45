package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/usage"
)

// TestParseSchemes reads lists as people write them.
func TestParseSchemes(t *testing.T) {
	list, err := parseSchemes(SplitSchemes("token, token:alpha_prior=0,topk:layers=[2,5]:keep=0.5,topk:train=true," +
		"tome:merge=3,tome:train=true,ponder:ponder_beta=0.1:epsilon=0.2, few =act:lr=1e-4,more=sact"))
	if err != nil {
		t.Fatal(err)
	}
	type short struct {
		name     string
		trains   bool
		settings string
	}
	var got []short
	for _, s := range list {
		got = append(got, short{s.name, s.trains, strings.Join(s.settings, " ")})
	}
	want := []short{{"none", true, ""}, {"token", true, ""}, {"token:alpha_prior=0", true, "alpha_prior=0"},
		{"topk:layers=[2,5]:keep=0.5", false, "halting.layers=[2,5] halting.keep=0.5"},
		{"topk:train=true", true, ""}, {"tome:merge=3", false, "halting.merge=3"},
		{"tome:train=true", true, ""},
		{"ponder:ponder_beta=0.1:epsilon=0.2", true, "ponder_beta=0.1 halting.epsilon=0.2"},
		{"few", true, "lr=1e-4"}, {"more", true, ""}}
	if !slices.Equal(got, want) {
		t.Errorf("schemes\n%v\nwant\n%v", got, want)
	}
	if list[3].folder() != "topk-layers=-2-5--keep=0.5" {
		t.Errorf("folder %q", list[3].folder())
	}
	all, err := parseSchemes(nil)
	if err != nil || len(all) != len(halting.Names()) {
		t.Errorf("%d schemes of themselves, want all %d (%v)", len(all), len(halting.Names()), err)
	}
	for _, bad := range []string{"", "nothing", "token:", "token:alpha_prior", "token:epochs=3", "token:halting={}",
		"tome:lr=1", "topk:train=maybe", "token,token", "act:x=1,act:x-1=1,act:x=1", "=token",
		"a=", "a=b=token", "none=token", "act,act=token"} {
		if _, err := parseSchemes(SplitSchemes(bad)); !errors.Is(err, usage.Err) {
			t.Errorf("%q: %v, want an error of usage", bad, err)
		}
	}
}

// TestCompareRecipes looks at what each scheme of a comparison would train by.
func TestCompareRecipes(t *testing.T) {
	o := Options{Epochs: 3, Limit: 100, Set: []string{"batch=16", "keep=best"}}
	gate := func(name string, center float64) halting.Config {
		return halting.Config{Scheme: name}.With("gate_scale", 4).With("gate_center", center)
	}
	own := func(name string) halting.Config { return gate(name, 12).With("credit", 1).With("exit", 1) } // the recipe's
	for entry, want := range map[string]halting.Config{
		"none": halting.Dense(), "token": own("token"), "sact": own("sact"), "act:gate_center=5": gate("act", 5),
		"token:exit=0.9": own("token").With("exit", 0.9), "sact:exit=0:credit=0": own("sact").With("exit", 0).With("credit",
			0),
		"confidence:threshold=0.7": halting.Config{Scheme: "confidence"}.With("threshold", 0.7),
		"topk:keep=0.5:fuse=true":  halting.Config{Scheme: "topk"}.With("keep", 0.5).With("fuse", true),
	} {
		s, err := parseScheme(entry)
		if err != nil {
			t.Fatal(err)
		}
		r, err := o.recipe(s, 7, 12)
		if err != nil {
			t.Errorf("%s: %v", entry, err)
			continue
		}
		a, _ := json.Marshal(r.Halting)
		b, _ := json.Marshal(want)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: halting %s, want %s", entry, a, b)
		}
		if r.Epochs != 3 || r.Limit != 100 || r.Batch != 16 || r.Seed != 7 || r.Keep != "best" {
			t.Errorf("%s: %+v", entry, r)
		}
	}
	o.Set = []string{"target_layer=0"}
	for entry, want := range map[string][2]float64{"ponder": {0.2, 1.0 / 6},
		"ponder:ponder_beta=0.3:ponder_lambda=0.4": {0.3, 0.4}} {
		s, err := parseScheme(entry)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := o.recipe(s, 1, 12); err != nil || r.PonderBeta != want[0] || math.Abs(r.PonderLambda-want[1]) > 1e-5 {
			t.Errorf("%s: β %v, λ %v, want %v (%v)", entry, r.PonderBeta, r.PonderLambda, want, err)
		}
	}
	for _, entry := range []string{"token:nonsense=1", "confidence:threshold=2", "topk:layers=[3,2]"} {
		s, err := parseScheme(entry)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.recipe(s, 1, 12); err == nil || !strings.Contains(err.Error(), s.base.Name) {
			t.Errorf("%s: %v", entry, err)
		}
	}
}
