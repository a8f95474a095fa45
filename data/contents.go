package data

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/picture"
)

// Contents say what a part of a data set is made of.
type Contents struct {
	Part     string    `json:"split"`
	Folder   string    `json:"folder"` // or file
	Classes  int       `json:"classes"`
	Names    []string  `json:"-"`
	Pictures int       `json:"pictures"`
	Listed   bool      `json:"-"`       // a list that lies beside the data numbers the classes
	Checked  bool      `json:"checked"` // all pictures have been decoded, else damage is found when they are read
	Damaged  int       `json:"damaged"`
	TooLarge int       `json:"too_large"`
	Skipped  []Skipped `json:"skipped,omitempty"`
}

// Skipped is what was left out of a data set for one reason.
type Skipped struct {
	Why   string `json:"why"`
	Count int    `json:"count"` // files or folders
	First string `json:"first"` // one of them
}

func (s Skipped) String() string {
	return fmt.Sprintf("%d %s (%s%s)", s.Count, s.Why, s.First, map[bool]string{true: ", …"}[s.Count > 1])
}

// SkippedText is everything that was left out, in a line.
func (c Contents) SkippedText() string {
	var list []string
	for _, s := range c.Skipped {
		list = append(list, s.String())
	}
	return cmp.Or(strings.Join(list, "; "), "0")
}

// leftOut gathers what is left out, by its reasons, in the order in which these come up.
type leftOut []Skipped

func (l *leftOut) add(why, name string) { l.addAll(Skipped{why, 1, name}) }

func (l *leftOut) addAll(list ...Skipped) {
	for _, s := range list {
		if s.Count == 0 {
			continue
		}
		if i := slices.IndexFunc(*l, func(o Skipped) bool { return o.Why == s.Why }); i >= 0 {
			(*l)[i].Count += s.Count
		} else {
			*l = append(*l, s)
		}
	}
}

// contained is a Dataset that knows where it lies.
type contained interface{ contents() Contents }

// ContentsOf says what d is made of, which serves as that part.
func ContentsOf(part string, d Dataset) Contents {
	var c Contents
	if known, ok := d.(contained); ok {
		c = known.contents()
	}
	c.Part, c.Pictures, c.Classes, c.Names = part, d.Len(), 0, d.Classes()
	seen := make([]bool, len(c.Names))
	for i := range d.Len() {
		if l := d.Label(i); l >= 0 && !seen[l] {
			seen[l], c.Classes = true, c.Classes+1
		}
	}
	return c
}

// Contents are those of the parts that there are, and what the data set has besides.
func (p Parts) Contents() []Contents {
	var list []Contents
	for _, part := range []struct {
		split Split
		d     Dataset
	}{{Train, p.Train}, {Validation, p.Validation}, {Test, p.Test}} {
		if part.d != nil {
			list = append(list, ContentsOf(string(part.split), part.d))
		}
	}
	return append(list, p.Rest...)
}

// Check is that of the parts that bear damage, one after the other.
func (p Parts) Check(ctx context.Context, how picture.Decoding) error {
	var errs []error
	for _, d := range []Dataset{p.Train, p.Validation, p.Test} {
		if t, ok := d.(*Tolerated); ok {
			errs = append(errs, t.Check(ctx, how))
		}
	}
	return errors.Join(errs...)
}

// checkedBytes bounds the files of a data set that are all decoded before a run begins: they take a second or three.
const checkedBytes = 64 << 20

// Check decodes all pictures as how says, so that what is damaged is known before a run begins. Where their files are
// large together it does nothing: they are looked at when they are read, as always. The error is ctx's, or ErrDamaged.
func (t *Tolerated) Check(ctx context.Context, how picture.Decoding) error {
	sized, ok := t.Dataset.(interface{ sizeOf(i int) int64 })
	if !ok {
		return nil
	}
	var total int64
	for i := range t.Len() {
		if total += sized.sizeOf(i); total > checkedBytes || sized.sizeOf(i) < 0 {
			return nil
		}
	}
	var failed atomic.Pointer[error]
	parallel.For(min(runtime.GOMAXPROCS(0), t.Len()), t.Len(), func(_, i int) {
		if failed.Load() != nil || ctx.Err() != nil {
			return
		}
		if _, err := Image(t.Dataset, i, how); err != nil && ofSystem(err) {
			failed.CompareAndSwap(nil, &err)
		} else if err != nil {
			t.mark(i, err)
		}
	})
	if err := failed.Load(); err != nil {
		return *err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	t.checked = true
	_, err := t.state(0)
	return err
}
