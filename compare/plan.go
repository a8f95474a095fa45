package compare

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/recipes"
	"github.com/adavit/adavit/trainer"
)

// scheme is one entry of a comparison.
type scheme struct {
	name     string             // as it was given: a halting scheme's name, or NAME:key=value:…; or its label
	entry    string             // what the label stands for
	base     halting.Descriptor // of the halting scheme
	settings []string           // overrides of the recipe
	trains   bool               // it has a run of its own, else it uses the dense one's weights
}

// parseScheme reads an entry such as "token:alpha_prior=0" or "free=token:alpha_prior=0". A key that names a constant
// of the scheme stands for the same key of the recipe's "halting"; "train" makes a scheme train that would use the
// dense run's weights otherwise.
func parseScheme(entry string) (scheme, error) {
	label, rest, labelled := strings.Cut(entry, "=")
	if labelled = labelled && !strings.Contains(label, ":"); labelled {
		entry = strings.TrimSpace(rest)
	}
	bad := func(format string, args ...any) (scheme, error) {
		return scheme{}, usage.Errorf("scheme %q: %s", entry, fmt.Sprintf(format, args...))
	}
	parts := splitOutside(entry, ':')
	d, err := halting.Describe(parts[0])
	if err != nil {
		return bad("%v", err)
	}
	s := scheme{name: entry, entry: entry, base: d, trains: d.Training == halting.Trained}
	if labelled {
		s.name = strings.TrimSpace(label)
	}
	if dense := halting.Dense().Scheme; s.name == "" || labelled && s.name == dense {
		return bad("the label %q is no name for it", s.name)
	}
	for _, setting := range parts[1:] {
		key, value, ok := strings.Cut(setting, "=")
		first, _, _ := strings.Cut(key, ".")
		switch {
		case !ok || key == "":
			return bad("setting %q is not KEY=VALUE", setting)
		case slices.Contains([]string{"epochs", "seed", "limit", "init", "variant", "halting", "validation"}, key):
			return bad("%s is the same for all schemes of a comparison", key)
		case key == "train" && d.Training == halting.Trainable:
			if s.trains = value == "true"; !s.trains && value != "false" {
				return bad("train is %q, want true or false", value)
			}
			continue
		case slices.ContainsFunc(d.Keys, func(k halting.Key) bool { return k.Name == key }):
			setting, first = "halting."+setting, "halting"
		}
		if !s.trains && first != "halting" {
			return bad("%s is for training, and this scheme uses the dense run's weights", key)
		}
		s.settings = append(s.settings, setting)
	}
	return s, nil
}

// splitOutside splits text at a separator that is not inside of brackets, braces or quotes.
func splitOutside(text string, separator byte) []string {
	var parts []string
	depth, quoted, from := 0, false, 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == separator && depth == 0:
			parts, from = append(parts, text[from:i]), i+1
		}
	}
	return append(parts, text[from:])
}

// SplitSchemes splits a list of schemes at its commas, those within brackets or quotes left alone.
func SplitSchemes(list string) []string { return splitOutside(list, ',') }

// parseSchemes reads the entries of a comparison. The dense one, which the others are held against, always goes first.
func parseSchemes(entries []string) ([]scheme, error) {
	if len(entries) == 0 {
		entries = halting.Names()
	}
	dense := halting.Dense().Scheme
	var list []scheme
	for _, entry := range slices.Concat([]string{dense}, entries) {
		s, err := parseScheme(strings.TrimSpace(entry))
		if err != nil {
			return nil, err
		}
		if s.name == dense && len(list) == 1 {
			continue
		}
		same := slices.IndexFunc(list, func(other scheme) bool { return other.folder() == s.folder() })
		if same >= 0 {
			return nil, usage.Errorf("schemes %q and %q would have the same folder", list[same].entry, s.entry)
		}
		list = append(list, s)
	}
	return list, nil
}

// folder is the scheme's name as a part of a path.
func (s scheme) folder() string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._=+-", r) {
			return r
		}
		return '-'
	}, s.name)
}

// recipeName is the recipe of a comparison, the usual one where none is named.
func (o *Options) recipeName() string {
	const small, usual = "fashion-adaptive", "finetune-adaptive"
	name, _, _ := strings.Cut(o.Data, ":")
	switch {
	case o.Recipe != "":
		return o.Recipe
	case name != "fashion-mnist" && slices.Contains(recipes.Names(), usual):
		return usual
	}
	return small
}

// recipe is the scheme's: the common one with the scheme's own "halting" and settings, for a model of so many blocks.
func (o *Options) recipe(s scheme, seed uint64, layers int) (r trainer.Recipe, err error) {
	common, err := trainer.LoadRecipe(o.recipeName(), o.Set)
	if err != nil {
		return r, err
	}
	constants := halting.Config{Scheme: s.base.Name}
	if h := common.Halting; h != nil {
		switch of, err := h.Descriptor(); {
		case h.Scheme == s.base.Name:
			constants = *h
		case err == nil && of.Gate != "" && of.Gate == s.base.Gate:
			for _, k := range of.Keys {
				_, number := k.Default.(float64)
				has := slices.ContainsFunc(s.base.Keys, func(own halting.Key) bool { return own.Name == k.Name })
				if number && has {
					constants = constants.With(k.Name, h.Number(k.Name))
				}
			}
		}
	}
	object, err := json.Marshal(constants)
	if err != nil {
		return r, err
	}
	// The best epoch by its test images would be one of more depth, too, where depth falls in training.
	overrides := slices.Concat([]string{"keep=" + trainer.KeepLast, "ladder=false"}, o.Set,
		[]string{"halting=" + string(object), fmt.Sprintf("seed=%d", seed)})
	if s.base.Gate == "" { // nothing could keep to it
		overrides = append(overrides, "budget=0", "budget_spread=0", "center_spread=0")
	}
	if s.base.Recipe != nil {
		var values map[string]any
		text, err := json.Marshal(common)
		if err == nil {
			err = json.Unmarshal(text, &values)
		}
		if err != nil {
			return r, err
		}
		number := func(key string) float64 { v, _ := values[key].(float64); return v }
		overrides = append(overrides, s.base.Recipe(number, layers)...)
	}
	if o.Epochs > 0 {
		overrides = append(overrides, fmt.Sprintf("epochs=%d", o.Epochs))
	}
	if o.Limit > 0 {
		overrides = append(overrides, fmt.Sprintf("limit=%d", o.Limit))
	}
	r, err = trainer.LoadRecipe(o.recipeName(), append(overrides, s.settings...))
	if err == nil && s.trains {
		_, err = halting.NewTraining(*r.Halting)
	}
	if err != nil {
		err = fmt.Errorf("scheme %s: %w", s.name, err)
	}
	return r, err
}
