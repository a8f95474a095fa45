package halting

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Config is a scheme and its constants: the "halting" object of a model's config.json. Zero is a dense model's.
type Config struct {
	Scheme string // the scheme's name; the key in config.json has always been "policy"
	// Constants are those that are not at their defaults. Copies of c share the map; With makes another.
	Constants map[string]any
}

// original is the scheme of an object without a name: A-ViT's.
const original = "token"

// Dense returns the configuration of a model without halting.
func Dense() Config { return Config{Scheme: "none"} }

// Descriptor returns that of the scheme.
func (c Config) Descriptor() (Descriptor, error) {
	if c.Scheme == "" {
		c = Dense()
	}
	return Describe(c.Scheme)
}

// Adaptive reports whether tokens can halt before the last block.
func (c Config) Adaptive() bool { return c.Scheme != "" && c.Scheme != Dense().Scheme }

// Number returns a constant that is a number, 0 if the scheme has none of this name.
func (c Config) Number(key string) float64 { return constant[float64](c, key) }

// Switch returns a constant that is a switch.
func (c Config) Switch(key string) bool { return constant[bool](c, key) }

// Blocks returns a constant that names blocks; nil leaves the choice to the scheme. It is not to be written to.
func (c Config) Blocks(key string) []int { return constant[[]int](c, key) }

// Exit returns how sure a prediction has to be to end the image, 0 where none does.
func (c Config) Exit() float64 {
	d, _ := c.Descriptor()
	return c.Number(d.Exit)
}

// constant returns what a constant is set to, or its default.
func constant[T any](c Config, key string) T {
	v, ok := c.Constants[key].(T)
	if d, _ := c.Descriptor(); !ok {
		v, _ = d.key(key).Default.(T)
	}
	return v
}

// With returns c with another value of a constant, of its default's type or int. Validate knows what is wrong with it.
func (c Config) With(key string, value any) Config {
	switch v := value.(type) {
	case int:
		value = float64(v)
	case []int:
		value = slices.Clone(v)
	}
	set := map[string]any{}
	maps.Copy(set, c.Constants)
	set[key] = value
	d, _ := c.Descriptor()
	if k := d.key(key); k.Name != "" && reflect.DeepEqual(value, k.Default) {
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
	d, _ := c.Descriptor()
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
		if err := d.check(key, c.Constants[key]); err != nil {
			return err
		}
	}
	return nil
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
	if err := c.Validate(); err != nil {
		return nil, err
	}
	d, _ := c.Descriptor()
	return d.New(c), nil
}

// NewTraining returns the scheme that a configuration names, for training: one that may stop an image after any block
// runs all of them there.
func NewTraining(c Config) (Scheme, error) {
	s, err := New(c)
	switch d, _ := c.Descriptor(); {
	case err != nil:
		return nil, err
	case d.Training == Untrained:
		return nil, fmt.Errorf("halting: scheme %q cannot be trained; it works on a dense model as it is", d.Name)
	case d.NewTraining != nil:
		return d.NewTraining(c), nil
	}
	return s, nil
}
