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
// are errors.
func ParseRecipe(name string, file []byte, overrides []string) (Recipe, error) {
	r, err := parse(file, overrides)
	if err == nil {
		err = r.Validate()
	}
	if err != nil {
		return Recipe{}, fmt.Errorf("recipe %s: %w", name, err)
	}
	return r, nil
}

func parse(file []byte, overrides []string) (Recipe, error) {
	r := DefaultRecipe()
	var tree object
	if err := strictjson.Unmarshal(file, &tree); err != nil {
		return r, err
	}
	if tree == nil {
		return r, errors.New("null in place of an object")
	}
	for _, o := range overrides {
		key, text, ok := strings.Cut(o, "=")
		if !ok || key == "" {
			return r, fmt.Errorf("override %q is not KEY=VALUE", o)
		}
		value := jsontext.Value(text)
		if !value.IsValid() {
			var err error
			if value, err = json.Marshal(text); err != nil {
				return r, fmt.Errorf("override %q: %w", o, err)
			}
		}
		if err := tree.set(strings.Split(key, "."), value); err != nil {
			return r, fmt.Errorf("override %q: %w", o, err)
		}
	}
	merged, err := json.Marshal(tree)
	if err != nil {
		return r, err
	}
	return r, strictjson.Unmarshal(merged, &r)
}

// object is a JSON object whose values are not read yet.
type object map[string]jsontext.Value

// set puts a value at a path; objects on the way that are not there are made.
func (o object) set(path []string, value jsontext.Value) error {
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
		var err error
		if value, err = json.Marshal(child); err != nil {
			return err
		}
	}
	o[path[0]] = value
	return nil
}
