package halting

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Descriptor is all that the rest of the program knows of a scheme. Each scheme's own file registers one.
type Descriptor struct {
	Name    string // config.json's "policy"
	Order   int    // place in lists, from 1; 0 comes last
	Summary string // who halts and when, in one line without a full stop
	Note    string // what a reader of its figures must know, in whole sentences; "" for nothing

	Keys    []Key    // its constants, in the order in which they are written and printed
	Ignored []string // keys of older files that mean nothing to it and are no fault
	Tune    string   // key of the number that trades depth for accuracy in a trained model; "" for none

	// Exit is the key of the number that says how sure a prediction has to be to end the image, 0 to 1, where 0 is never;
	// "" for none.
	Exit string

	// TuneRange returns the values between which that number may be set where it is now. Depth grows as it goes from lo
	// to hi (on the whole: a token that stays changes the others), so lo may be the larger. nil: the key's Min and Max.
	TuneRange func(now float64) (lo, hi float64)

	New func(Config) Scheme // for inference, of a valid configuration

	Training    Training
	NewTraining func(Config) Scheme // for training; nil: New does for both
	// Recipe returns values that a recipe lacks in which the scheme was not thought of, as KEY=VALUE. number reads one
	// of the recipe's, 0 where it is left out.
	Recipe func(number func(key string) float64, layers int) []string

	FitFirst  bool   // before a dense model is trained with it, Tune is set so that tokens halt about where they should
	Gate      string // schemes with the same gate suit each other's constants; "" for none
	Reference bool   // the depth that it learns is the one to which others are brought for comparison
	ONNX      bool   // a graph can be written: each token halts by its own cumulative score and is gone
}

// Training says how a scheme comes to its weights.
type Training int

const (
	Trained   Training = iota // a model learns with it
	Trainable                 // it works on a dense model's weights as they are; a model may learn with it, too
	Untrained                 // it works on a dense model's weights, and nothing can be learnt with it
)

// Key is a constant of a scheme.
type Key struct {
	Name string // in config.json
	Text string // for people; "" is the name
	// Default says what kind of constant it is, too: a number (float64); a switch (bool), off unless it is set; or
	// increasing numbers of blocks from 1 ([]int), nil where the scheme chooses.
	Default  any
	Min, Max float64 // of a number
}

var descriptors []Descriptor

// Register makes a scheme known by its name. Call it before any configuration is read: at best in a declaration, var _
// = Register(…). It panics if the descriptor is not whole or the name is taken.
func Register(d Descriptor) Descriptor {
	_, err := Describe(d.Name)
	_, tunable := d.key(d.Tune).Default.(float64)
	exit := d.key(d.Exit)
	_, exits := exit.Default.(float64)
	switch {
	case d.Name == "" || d.Summary == "" || d.New == nil:
		panic(fmt.Sprintf("halting: the descriptor of scheme %q lacks a name, a summary or New", d.Name))
	case err == nil:
		panic(fmt.Sprintf("halting: scheme %q is registered already", d.Name))
	case d.Tune != "" && !tunable:
		panic(fmt.Sprintf("halting: scheme %q has no number %q to tune", d.Name, d.Tune))
	case d.Exit != "" && (!exits || d.Exit == d.Tune || exit.Min != 0 || exit.Max != 1):
		panic(fmt.Sprintf("halting: scheme %q has no number %q from 0 to 1 to exit by", d.Name, d.Exit))
	}
	for i, k := range d.Keys {
		before := Descriptor{Keys: d.Keys[:i]}
		if k.Name == "policy" || before.key(k.Name).Name != "" || k.kind() == "" || k.check(k.Default) != nil {
			panic(fmt.Sprintf("halting: scheme %q has no use for key %+v", d.Name, k))
		}
	}
	descriptors = append(descriptors, d)
	slices.SortFunc(descriptors, func(a, b Descriptor) int {
		return cmp.Or(cmp.Compare(uint(a.Order-1), uint(b.Order-1)), cmp.Compare(a.Name, b.Name)) // 0 comes last
	})
	return d
}

// Descriptors returns those of all schemes, the dense one first.
func Descriptors() []Descriptor { return slices.Clone(descriptors) }

// Names lists the names of the schemes that are as asked for, all if nothing is.
func Names(asked ...func(Descriptor) bool) (names []string) {
	for _, d := range descriptors {
		if !slices.ContainsFunc(asked, func(is func(Descriptor) bool) bool { return !is(d) }) {
			names = append(names, d.Name)
		}
	}
	return names
}

// NeedsNoTraining asks for the schemes that work on a dense model's weights as they are.
func NeedsNoTraining(d Descriptor) bool { return d.Training != Trained }

// Describe returns the descriptor of the scheme with this name.
func Describe(name string) (Descriptor, error) {
	if i := slices.IndexFunc(descriptors, func(d Descriptor) bool { return d.Name == name }); i >= 0 {
		return descriptors[i], nil
	}
	return Descriptor{}, fmt.Errorf("halting: scheme %.60q is not known (known: %s)", name, strings.Join(Names(), ", "))
}

// key returns the key with this name, or one without a name.
func (d *Descriptor) key(name string) Key {
	for _, k := range d.Keys {
		if k.Name == name {
			return k
		}
	}
	return Key{}
}

// check reports why v cannot be the value of a key; of one that is ignored anything can.
func (d *Descriptor) check(key string, v any) error {
	if k := d.key(key); k.Name != "" {
		return k.check(v)
	}
	if slices.Contains(d.Ignored, key) {
		return nil
	}
	var names []string
	for _, k := range d.Keys {
		names = append(names, k.Name)
	}
	known := "which has none"
	if names != nil {
		known = "whose keys are " + strings.Join(names, ", ")
	}
	return fmt.Errorf("halting: key %.60q means nothing to scheme %q, %s", key, d.Name, known)
}

// maxLayer bounds the blocks that a key may name.
const maxLayer = 1 << 12

// kind says what a value has to be, "" for a default that makes no sense.
func (k Key) kind() string {
	switch k.Default.(type) {
	case float64:
		return "a number"
	case bool:
		return "true or false"
	case []int:
		return "numbers of blocks"
	}
	return ""
}

// check reports why v cannot be the value of k.
func (k Key) check(v any) error {
	if reflect.TypeOf(v) != reflect.TypeOf(k.Default) {
		return fmt.Errorf("halting: %s is %.60s, want %s", k.Name, fmt.Sprint(v), k.kind())
	}
	if n, ok := v.(float64); ok && !(n >= k.Min && n <= k.Max) {
		return fmt.Errorf("halting: %s is %v, want %v to %v", k.Name, v, k.Min, k.Max)
	}
	blocks, _ := v.([]int)
	if blocks != nil && len(blocks) == 0 {
		return fmt.Errorf("halting: %s is empty (leave it out for the usual blocks)", k.Name)
	}
	for i, l := range blocks {
		if l < 1 || l > maxLayer || i > 0 && l <= blocks[i-1] {
			return fmt.Errorf("halting: %s are %v, want increasing numbers of blocks from 1 on", k.Name, v)
		}
	}
	return nil
}
