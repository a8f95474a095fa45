// Package usage marks errors about what a caller asked for: options that no model and no data could make valid. A
// program ends with status 2 for these, and with 1 for all others.
package usage

import (
	"errors"
	"fmt"
)

// Err is wrapped by such errors.
var Err = errors.New("wrong usage")

// Errorf makes one whose text is the format's alone.
func Errorf(format string, args ...any) error { return Wrap(fmt.Errorf(format, args...)) }

// Wrap makes err one, with its own text; nil stays nil.
func Wrap(err error) error {
	if err == nil {
		return nil
	}
	return wrapped{err}
}

type wrapped struct{ error }

func (w wrapped) Is(target error) bool { return target == Err }
func (w wrapped) Unwrap() error        { return w.error }
