// Package strictjson reads JSON that people and other programs write for us: configurations, recipes, headers of
// tensor files. It is encoding/json/v2 (github.com/go-json-experiment/json until every supported Go has it) with the
// options that all of them share, and with errors for people who have never seen our Go types.
//
// Refused are what encoding/json lets pass: a key that appears twice in an object, text that is not UTF-8 (half a
// surrogate pair too), an array of another length than its Go array, anything after the value. "Keep" is another key
// than "keep". As in encoding/json, null leaves numbers, strings, booleans, arrays and structs as they were, so that
// defaults set before reading stay (unless NoNull is asked for).
package strictjson

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// NoNull refuses null wherever it stands in the place of another value.
var NoNull = json.WithUnmarshalers(json.UnmarshalFromFunc(func(d *jsontext.Decoder, v any) error {
	if d.PeekKind() == 'n' {
		return &json.SemanticError{JSONKind: 'n', GoType: reflect.TypeOf(v)}
	}
	return errors.ErrUnsupported // the usual way
}))

// Unmarshal reads the JSON text b into v, a pointer. A key that a struct does not have is an error.
func Unmarshal(b []byte, v any, options ...json.Options) error {
	return unmarshal(b, v, append(options, json.RejectUnknownMembers(true)))
}

// UnmarshalKnown is Unmarshal that skips the keys that a struct does not have.
func UnmarshalKnown(b []byte, v any, options ...json.Options) error { return unmarshal(b, v, options) }

func unmarshal(b []byte, v any, options []json.Options) error {
	if !utf8.Valid(b) {
		return errors.New("not valid UTF-8")
	}
	return inWords(json.Unmarshal(b, v, append(options, jsonv1.MergeWithLegacySemantics(true))...))
}

// inWords says what is wrong where, without the names of Go's types and without repeating much of the text.
func inWords(err error) error {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		switch {
		case errors.Is(err, jsontext.ErrDuplicateName):
			return within(syntax.JSONPointer.Parent(),
				fmt.Errorf("key %s appears twice", quoted(syntax.JSONPointer.LastToken())))
		case errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("invalid JSON at byte %d: unexpected end", syntax.ByteOffset)
		}
		return fmt.Errorf("invalid JSON at byte %d: %w", syntax.ByteOffset, syntax.Err)
	}
	meaning, ok := errors.AsType[*json.SemanticError](err)
	switch {
	case !ok:
		return err
	case errors.Is(meaning.Err, json.ErrUnknownName):
		return within(meaning.JSONPointer.Parent(),
			fmt.Errorf("unknown key %s", quoted(meaning.JSONPointer.LastToken())))
	case meaning.JSONValue != nil && errors.Is(meaning.Err, strconv.ErrRange):
		err = fmt.Errorf("number %.40s is out of range", meaning.JSONValue)
	case meaning.JSONValue != nil && errors.Is(meaning.Err, strconv.ErrSyntax):
		err = fmt.Errorf("number %.40s is not %s", meaning.JSONValue, expected(meaning.GoType))
	case meaning.Err == nil:
		found := cmp.Or(kinds[meaning.JSONKind], "something else")
		err = fmt.Errorf("%s where %s was expected", found, expected(meaning.GoType))
	case meaning.GoType.Kind() == reflect.Array:
		err = fmt.Errorf("%w: %d are wanted", meaning.Err, meaning.GoType.Len())
	default:
		err = meaning.Err // what a type's own method says
	}
	return within(meaning.JSONPointer, err)
}

// within puts the place of a fault before it: the keys and indices from the outermost value on, with dots between
// them.
func within(where jsontext.Pointer, err error) error {
	if where == "" {
		return err
	}
	return fmt.Errorf("key %s: %w", quoted(strings.Join(slices.Collect(where.Tokens()), ".")), err)
}

// quoted is an untrusted text in an error: not too long of it.
func quoted(s string) string {
	if len(s) > 120 {
		s = s[:60] + "…" + s[len(s)-60:]
	}
	return strconv.Quote(s)
}

var kinds = map[jsontext.Kind]string{
	'n': "null", 't': "a boolean", 'f': "a boolean", '0': "a number", '"': "a string", '{': "an object", '[': "an array",
}

// expected says in JSON's words what a Go type is read from.
func expected(t reflect.Type) string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return "another value"
	}
	switch k := t.Kind(); {
	case k == reflect.Struct || k == reflect.Map:
		return "an object"
	case k == reflect.Slice || k == reflect.Array:
		return "an array"
	case k == reflect.String:
		return "a string"
	case k == reflect.Bool:
		return "true or false"
	case k >= reflect.Uint && k <= reflect.Uintptr:
		return "a whole number from 0 on"
	case k >= reflect.Int && k <= reflect.Int64:
		return "a whole number"
	case k == reflect.Float32 || k == reflect.Float64:
		return "a number"
	}
	return "another value"
}
