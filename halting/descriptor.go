package halting

import (
	"cmp"
	"fmt"
	"math"
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

// Kind is what a constant is, and its type in Config.Constants.
type Kind int

const (
	Number Kind = iota // float64
	Switch             // bool; off unless it is set
	Blocks             // []int: increasing numbers of blocks, from 1; nil leaves the choice to the scheme
)

// Key is a constant of a scheme.
type Key struct {
	Name     string // in config.json
	Text     string // for people; "" is the name
	Kind     Kind
	Default  float64 // of a number
	Min, Max float64 // of a number
}

var descriptors []Descriptor

// Register makes a scheme known by its name. Call it before any configuration is read: at best in a declaration, var _
// = Register(…). It panics if the descriptor is not whole or the name is taken.
func Register(d Descriptor) Descriptor {
	tune := d.key(d.Tune)
	switch {
	case d.Name == "" || d.Summary == "" || d.New == nil:
		panic(fmt.Sprintf("halting: the descriptor of scheme %q lacks a name, a summary or New", d.Name))
	case find(d.Name) != nil:
		panic(fmt.Sprintf("halting: scheme %q is registered already", d.Name))
	case d.Tune != "" && (tune == nil || tune.Kind != Number):
		panic(fmt.Sprintf("halting: scheme %q has no number %q to tune", d.Name, d.Tune))
	}
	for i, k := range d.Keys {
		twice := d.key(k.Name) != &d.Keys[i]
		if k.Name == "policy" || twice || k.Kind == Number && !(k.Min <= k.Default && k.Default <= k.Max) {
			panic(fmt.Sprintf("halting: scheme %q has no use for key %+v", d.Name, k))
		}
	}
	place := func(d Descriptor) int {
		if d.Order == 0 {
			return math.MaxInt
		}
		return d.Order
	}
	i, _ := slices.BinarySearchFunc(descriptors, d, func(a, b Descriptor) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), strings.Compare(a.Name, b.Name))
	})
	descriptors = slices.Insert(descriptors, i, d)
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
	if d := find(name); d != nil {
		return *d, nil
	}
	return Descriptor{}, fmt.Errorf("halting: scheme %.60q is not known (known: %s)", name, strings.Join(Names(), ", "))
}

func find(name string) *Descriptor {
	for i := range descriptors {
		if descriptors[i].Name == name {
			return &descriptors[i]
		}
	}
	return nil
}

// key returns the key with this name, or nil.
func (d *Descriptor) key(name string) *Key {
	for i := range d.Keys {
		if d.Keys[i].Name == name {
			return &d.Keys[i]
		}
	}
	return nil
}

// maxLayer bounds the blocks that a key may name.
const maxLayer = 1 << 12

// usual reports whether v is what the key has when it is not set.
func (k *Key) usual(v any) bool {
	switch k.Kind {
	case Number:
		return v == any(k.Default)
	case Switch:
		return v == any(false)
	}
	blocks, ok := v.([]int)
	return ok && blocks == nil
}

// check reports why v cannot be the value of k.
func (k *Key) check(v any) error {
	number, isNumber := v.(float64)
	_, isSwitch := v.(bool)
	blocks, isBlocks := v.([]int)
	switch {
	case k.Kind == Number && !isNumber:
		return fmt.Errorf("halting: %s is %.60s, want a number", k.Name, fmt.Sprint(v))
	case k.Kind == Switch && !isSwitch:
		return fmt.Errorf("halting: %s is %.60s, want true or false", k.Name, fmt.Sprint(v))
	case k.Kind == Blocks && !isBlocks:
		return fmt.Errorf("halting: %s is %.60s, want numbers of blocks", k.Name, fmt.Sprint(v))
	case isNumber && !(number >= k.Min && number <= k.Max):
		return fmt.Errorf("halting: %s is %v, want %v to %v", k.Name, v, k.Min, k.Max)
	case blocks != nil && len(blocks) == 0:
		return fmt.Errorf("halting: %s is empty (leave it out for the usual blocks)", k.Name)
	}
	for i, l := range blocks {
		if l < 1 || l > maxLayer || i > 0 && l <= blocks[i-1] {
			return fmt.Errorf("halting: %s are %v, want increasing numbers of blocks from 1 on", k.Name, v)
		}
	}
	return nil
}
