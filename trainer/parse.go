package trainer

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/internal/strictjson"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/recipes"
)

// maxRecipe bounds a recipe's file in bytes, which has a page of text.
const maxRecipe = 1 << 20

// LoadRecipe reads a recipe by its bundled name or from a file, and applies overrides (see ParseRecipe).
func LoadRecipe(nameOrFile string, overrides []string) (Recipe, error) {
	text, unknown := recipes.Read(nameOrFile) // its error lists the names
	if unknown != nil {
		var err error
		if text, err = regular.Read(nameOrFile, maxRecipe); errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("%w, nor is there such a file", unknown)
		}
		if err != nil {
			return Recipe{}, fmt.Errorf("recipe: %w", err)
		}
	}
	return ParseRecipe(nameOrFile, text, overrides)
}

// ParseRecipe reads a recipe file and applies overrides of the form key=value; a dot reaches into an object
// (augment.shift=2). Values are JSON, or else strings. Keys that a recipe does not have, and keys that appear twice,
// are errors, which wrap usage.Err where the overrides are to blame.
func ParseRecipe(name string, file []byte, overrides []string) (Recipe, error) {
	r := DefaultRecipe()
	merged, err := merge(file, overrides)
	if err == nil {
		err = strictjson.Unmarshal(merged, &r)
	}
	if err == nil {
		err = r.Validate()
	}
	if err != nil {
		err = fmt.Errorf("recipe %s: %w", name, err)
		if len(overrides) > 0 {
			if _, without := ParseRecipe(name, file, nil); without == nil {
				err = usage.Wrap(err)
			}
		}
		return Recipe{}, err
	}
	return r, nil
}

// merge returns a recipe file with the overrides in it.
func merge(file []byte, overrides []string) ([]byte, error) {
	var tree object
	if err := strictjson.Unmarshal(file, &tree); err != nil {
		return nil, err
	}
	if tree == nil {
		return nil, errors.New("null in place of an object")
	}
	for _, o := range overrides {
		key, text, ok := strings.Cut(o, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("override %q is not KEY=VALUE", o)
		}
		value, err := jsontext.Value(text), error(nil)
		if !value.IsValid() {
			value, err = json.Marshal(text)
		}
		if err == nil {
			err = tree.set(strings.Split(key, "."), value)
		}
		if err != nil {
			return nil, fmt.Errorf("override %q: %w", o, err)
		}
	}
	return json.Marshal(tree)
}

// object is a JSON object whose values are not read yet.
type object map[string]jsontext.Value

// set puts a value at a path; objects on the way that are not there are made.
func (o object) set(path []string, value jsontext.Value) (err error) {
	if len(path) > 1 {
		var child object
		if old := o[path[0]]; old != nil && json.Unmarshal(old, &child) != nil {
			return fmt.Errorf("%q is not an object", path[0])
		}
		if child == nil {
			child = object{}
		}
		if err := child.set(path[1:], value); err != nil {
			return err
		}
		value, err = json.Marshal(child)
	}
	o[path[0]] = value
	return err
}
