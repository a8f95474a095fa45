package halting

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/adavit/adavit/internal/strictjson"
)

// UnmarshalJSON reads the "halting" object; a key that its scheme does not know is an error, since a model that ignored
// it would give other results. Constants that are left out have their defaults, a scheme that is left out is A-ViT's.
func (c *Config) UnmarshalJSON(b []byte) error {
	var object map[string]json.RawMessage
	if err := strictjson.Unmarshal(b, &object); err != nil {
		return fmt.Errorf("halting: %w", err)
	}
	r := Config{Scheme: original}
	if raw, ok := object["policy"]; ok {
		if err := strictjson.Unmarshal(raw, &r.Scheme); err != nil {
			return fmt.Errorf("halting: policy: %w", err)
		}
	}
	d, err := Describe(r.Scheme)
	if err != nil {
		return err
	}
	delete(object, "policy")
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if r, err = r.set(&d, key, object[key]); err != nil {
			return err
		}
	}
	if err := r.Validate(); err != nil {
		return err
	}
	*c = r
	return nil
}

// Parse reads a configuration as a person writes it: NAME[,KEY=VALUE…] with values as JSON has them;
// SCALE,CENTER[,EPSILON] of A-ViT's gate; or an object as in config.json.
func Parse(text string) (c Config, err error) {
	if strings.HasPrefix(text, "{") {
		err = c.UnmarshalJSON([]byte(text))
		return c, err
	}
	parts := strings.Split(text, ",")
	if _, err := strconv.ParseFloat(strings.TrimSpace(parts[0]), 64); err == nil {
		if len(parts) < 2 || len(parts) > len(gateKeys) {
			return c, errors.New("halting: want SCALE,CENTER[,EPSILON]")
		}
		c.Scheme = original
		for i, p := range parts {
			v, err := strconv.ParseFloat(strings.TrimSpace(p), 64)
			if err != nil {
				return c, fmt.Errorf("halting: %s: %w", gateKeys[i].Name, err)
			}
			c = c.With(gateKeys[i].Name, v)
		}
		return c, c.Validate()
	}
	c.Scheme, parts = parts[0], parts[1:]
	d, err := Describe(c.Scheme)
	if err != nil {
		return c, err
	}
	for _, p := range parts {
		key, value, ok := strings.Cut(p, "=")
		if !ok {
			return c, fmt.Errorf("halting: %q is not KEY=VALUE", p)
		}
		if c, err = c.set(&d, key, []byte(value)); err != nil {
			return c, err
		}
	}
	return c, c.Validate()
}

// set is With for a value in JSON; null is the default.
func (c Config) set(d *Descriptor, key string, text []byte) (Config, error) {
	if d.key(key).Name == "" {
		return c, d.check(key, nil)
	}
	var v any
	if err := strictjson.Unmarshal(text, &v); err != nil {
		return c, fmt.Errorf("halting: %s: %w", key, err)
	}
	if list, ok := v.([]any); ok {
		blocks := make([]int, 0, len(list))
		for _, b := range list {
			if n, ok := b.(float64); ok && n == float64(int(n)) {
				blocks = append(blocks, int(n))
			}
		}
		if len(blocks) == len(list) {
			v = blocks
		}
	}
	if v != nil {
		c = c.With(key, v)
	}
	return c, nil
}

// MarshalJSON writes what values yields.
func (c Config) MarshalJSON() ([]byte, error) {
	if !c.Adaptive() {
		c = Dense()
	}
	b, err := json.Marshal(c.Scheme)
	b = append([]byte(`{"policy":`), b...)
	for k, v := range c.values() {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("halting: %s: %w", k.Name, err)
		}
		b = fmt.Appendf(b, ",%q:%s", k.Name, text)
	}
	return append(b, '}'), err
}

// String is the scheme with its constants, for people: "token, gate scale 10, gate center 30, epsilon 0.01".
func (c Config) String() string {
	if !c.Adaptive() {
		return Dense().Scheme
	}
	s := c.Scheme
	for k, v := range c.values() {
		s += ", " + cmp.Or(k.Text, k.Name)
		if v != true {
			s += fmt.Sprintf(" %v", v)
		}
	}
	return s
}

// values yields the scheme's numbers in the order of its keys, but for those that are 0 unless they are set, and what
// else is not at its default.
func (c Config) values() iter.Seq2[Key, any] {
	return func(yield func(Key, any) bool) {
		d, _ := c.Descriptor()
		for _, k := range d.Keys {
			v, set := c.Constants[k.Name]
			if !set {
				v = k.Default
			}
			if n, _ := v.(float64); (set || n != 0) && !yield(k, v) {
				return
			}
		}
	}
}
