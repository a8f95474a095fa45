package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/internal/tools"
)

// contents shows what a run's data are before it begins.
func (a *app) contents(list []data.Contents) {
	fmt.Fprint(a.bar, tableText(tools.ContentsTable(list)))
}

// unknownClasses adds the flag for pictures of classes that a model does not know.
func unknownClasses(f *pflag.FlagSet, u *eval.Unknown) {
	*u = eval.UnknownFails
	f.Var((*unknownFlag)(u), "unknown-classes", "what to do about classes that the model does not know: `error`, skip "+
		"their pictures, or go by position where no name matches")
}

// unknownFlag is the flag's value.
type unknownFlag eval.Unknown

func (u *unknownFlag) String() string { return string(*u) }
func (u *unknownFlag) Type() string   { return "string" }

// Set implements pflag.Value.
func (u *unknownFlag) Set(text string) error {
	v, err := eval.ParseUnknown(text)
	if err == nil {
		*u = unknownFlag(v)
	}
	return err
}

// aboutClasses adds to an error about classes which flag helps.
func aboutClasses(err error) error {
	switch {
	case errors.Is(err, eval.ErrSomeUnknown):
		return fmt.Errorf("%w; --unknown-classes skip leaves out their pictures", err)
	case errors.Is(err, eval.ErrAsMany):
		return fmt.Errorf("%w; if their order is the same, --unknown-classes position goes by it, and so does a file "+
			"classes.txt beside the data", err)
	}
	return err
}
