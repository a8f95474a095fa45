// Package strictjson reads JSON that people write by hand. What encoding/json lets pass is an error here: keys that v has
// no field for, keys that appear twice, keys that differ from a field's name in the case of their letters, text that is not
// UTF-8.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Unmarshal reads text, one JSON value and nothing behind it, into v. Errors say where the fault is.
func Unmarshal(text []byte, v any) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return errors.New("the file is empty")
	}
	err := json.Unmarshal(text, v, json.RejectUnknownMembers(true))
	unknown, twice := new(json.SemanticError), new(jsontext.SyntacticError)
	switch {
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &unknown):
		return fmt.Errorf("unknown field %q%s", unknown.JSONPointer.LastToken(), within(unknown.JSONPointer))
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &twice):
		return fmt.Errorf("field %q appears twice%s", twice.JSONPointer.LastToken(), within(twice.JSONPointer))
	}
	return err
}

// within says which object a key is in; nothing for the outermost.
func within(p jsontext.Pointer) string {
	if p.Parent() == "" {
		return ""
	}
	return fmt.Sprintf(" in %s", p.Parent()[1:])
}
