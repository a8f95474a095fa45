package halting

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Config is a scheme and its constants: the "halting" object of a model's config.json. Its zero value is a dense
// model's.
type Config struct {
	Policy string // the scheme's name; the key in config.json has always been "policy"
	// Constants are those that are not at their defaults: float64, bool or []int, as their Key has it. The map is
	// shared by copies of c; With makes another.
	Constants map[string]any
}

// original is the scheme of an object without a name: A-ViT's.
const original = "token"

// Dense returns the configuration of a model without halting.
func Dense() Config { return Config{Policy: "none"} }

// Descriptor returns that of the scheme.
func (c Config) Descriptor() (Descriptor, error) {
	if c.Policy == "" {
		c = Dense()
	}
	return Describe(c.Policy)
}

// Adaptive reports whether tokens can halt before the last block.
func (c Config) Adaptive() bool { return c.Policy != "" && c.Policy != Dense().Policy }

// Number returns a constant that is a number, 0 if the scheme has none of this name.
func (c Config) Number(key string) float64 {
	if v, ok := c.Constants[key].(float64); ok {
		return v
	}
	if d := find(c.Policy); d != nil && d.key(key) != nil {
		return d.key(key).Default
	}
	return 0
}

// Switch returns a constant that is a switch.
func (c Config) Switch(key string) bool {
	v, _ := c.Constants[key].(bool)
	return v
}

// Blocks returns a constant that names blocks; nil leaves the choice to the scheme. It is not to be written to.
func (c Config) Blocks(key string) []int {
	v, _ := c.Constants[key].([]int)
	return v
}

// With returns c with another value of a constant: float64 or int for a number, bool for a switch, []int for blocks.
// Validate knows what is wrong with it.
func (c Config) With(key string, value any) Config {
	switch v := value.(type) {
	case int:
		value = float64(v)
	case []int:
		value = slices.Clone(v)
	}
	set := maps.Clone(c.Constants)
	if set == nil {
		set = map[string]any{}
	}
	set[key] = value
	if d := find(c.Policy); d != nil && d.key(key) != nil && d.key(key).usual(value) {
		delete(set, key)
	}
	if c.Constants = set; len(set) == 0 {
		c.Constants = nil
	}
	return c
}

// Tuning is the number that trades depth for accuracy in a trained model. Key is "" where a scheme has none. Depth
// grows as Value goes from Lo to Hi; Lo may be the larger.
type Tuning struct {
	Key           string
	Value, Lo, Hi float64
}

// Tuning returns what can be tuned; Config.With sets it.
func (c Config) Tuning() Tuning {
	d := find(c.Policy)
	if d == nil || d.Tune == "" {
		return Tuning{}
	}
	k := d.key(d.Tune)
	t := Tuning{d.Tune, c.Number(d.Tune), k.Min, k.Max}
	if d.TuneRange != nil {
		t.Lo, t.Hi = d.TuneRange(t.Value)
	}
	return t
}

// Validate reports the first constant that makes no sense.
func (c Config) Validate() error {
	d, err := c.Descriptor()
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(c.Constants)) {
		if k := d.key(key); k != nil {
			err = k.check(c.Constants[key])
		} else {
			err = d.unknown(key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unknown is the error for a key that the scheme does not have, nil if it is ignored.
func (d *Descriptor) unknown(key string) error {
	if slices.Contains(d.Ignored, key) {
		return nil
	}
	names := make([]string, len(d.Keys))
	for i, k := range d.Keys {
		names[i] = k.Name
	}
	known := "which has none"
	if len(names) > 0 {
		known = "whose keys are " + strings.Join(names, ", ")
	}
	return fmt.Errorf("halting: key %.60q means nothing to scheme %q, %s", key, d.Name, known)
}

// ValidateFor is Validate for a model of so many blocks: those that a constant names must be there.
func (c Config) ValidateFor(layers int) error {
	if err := c.Validate(); err != nil {
		return err
	}
	for key := range c.Constants {
		if b := c.Blocks(key); len(b) > 0 && b[len(b)-1] > layers {
			return fmt.Errorf("halting: %s are %v, but the model has %d blocks", key, b, layers)
		}
	}
	return nil
}

// New returns the scheme that a configuration names, for inference.
func New(c Config) (Scheme, error) {
	d, err := c.Descriptor()
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return nil, err
	}
	return d.New(c), nil
}

// NewTraining returns the scheme that a configuration names, for training: one that may stop an image after any block
// runs all of them there.
func NewTraining(c Config) (Scheme, error) {
	s, err := New(c)
	if err != nil {
		return nil, err
	}
	switch d, _ := c.Descriptor(); {
	case d.Training == Untrained:
		return nil, fmt.Errorf("halting: scheme %q cannot be trained; it works on a dense model as it is", d.Name)
	case d.NewTraining != nil:
		return d.NewTraining(c), nil
	}
	return s, nil
}
