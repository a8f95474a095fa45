package halting

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/adavit/adavit/internal/strictjson"
)

// UnmarshalJSON reads the "halting" object; a key that its scheme does not know is an error, since a model that ignored
// it would give other results. Constants that are left out have the scheme's defaults, a scheme that is left out is
// A-ViT's.
func (c *Config) UnmarshalJSON(b []byte) error {
	var object map[string]json.RawMessage
	if err := strictjson.Unmarshal(b, &object); err != nil {
		return fmt.Errorf("halting: %w", err)
	}
	r := Config{Policy: original}
	if raw, ok := object["policy"]; ok {
		if err := strictjson.Unmarshal(raw, &r.Policy); err != nil {
			return fmt.Errorf("halting: policy: %w", err)
		}
	}
	d, err := Describe(r.Policy)
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
		err = strictjson.Unmarshal([]byte(text), &c)
		return c, err
	}
	parts := strings.Split(text, ",")
	if _, err := strconv.ParseFloat(strings.TrimSpace(parts[0]), 64); err == nil {
		if len(parts) < 2 || len(parts) > len(gateKeys) {
			return c, errors.New("halting: want SCALE,CENTER[,EPSILON]")
		}
		c.Policy = original
		for i, p := range parts {
			v, err := strconv.ParseFloat(strings.TrimSpace(p), 64)
			if err != nil {
				return c, fmt.Errorf("halting: %s: %w", gateKeys[i].Name, err)
			}
			c = c.With(gateKeys[i].Name, v)
		}
		return c, c.Validate()
	}
	c.Policy, parts = parts[0], parts[1:]
	d, err := Describe(c.Policy)
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
	k := d.key(key)
	if k == nil {
		return c, d.unknown(key)
	}
	v, err := k.read(text)
	if err != nil {
		return c, fmt.Errorf("halting: %s: %w", key, err)
	}
	if v != nil {
		c = c.With(key, v)
	}
	return c, nil
}

// read returns the value that a JSON text holds, nil for null.
func (k *Key) read(text []byte) (any, error) {
	if string(text) == "null" {
		return nil, nil
	}
	switch k.Kind {
	case Switch:
		var v bool
		err := strictjson.Unmarshal(text, &v)
		return v, err
	case Blocks:
		var v []int
		err := strictjson.Unmarshal(text, &v)
		return v, err
	}
	var v float64
	err := strictjson.Unmarshal(text, &v)
	return v, err
}

// MarshalJSON writes all numbers of the scheme, and what else is not at its default.
func (c Config) MarshalJSON() ([]byte, error) {
	if !c.Adaptive() {
		c = Dense()
	}
	b, err := json.Marshal(c.Policy)
	b = append([]byte(`{"policy":`), b...)
	for _, v := range c.values() {
		text, err := json.Marshal(v.value)
		if err != nil {
			return nil, fmt.Errorf("halting: %s: %w", v.Name, err)
		}
		b = fmt.Appendf(b, ",%q:%s", v.Name, text)
	}
	return append(b, '}'), err
}

// String is the scheme with its constants, for people: "token, gate scale 10, gate center 30, epsilon 0.01".
func (c Config) String() string {
	if !c.Adaptive() {
		return Dense().Policy
	}
	s := c.Policy
	for _, v := range c.values() {
		s += ", " + v.Text
		if v.Text == "" {
			s += v.Name
		}
		if v.Kind != Switch {
			s += fmt.Sprintf(" %v", v.value)
		}
	}
	return s
}

// keyValue is a constant and what it is set to.
type keyValue struct {
	*Key
	value any
}

// values returns all numbers of the scheme in the order of its keys, and what else is not at its default.
func (c Config) values() []keyValue {
	var list []keyValue
	if d := find(c.Policy); d != nil {
		for i := range d.Keys {
			k := &d.Keys[i]
			v := c.Constants[k.Name]
			switch k.Kind {
			case Number:
				v = c.Number(k.Name)
			case Switch:
				if !c.Switch(k.Name) {
					continue
				}
			case Blocks:
				if c.Blocks(k.Name) == nil {
					continue
				}
			}
			list = append(list, keyValue{k, v})
		}
	}
	return list
}
