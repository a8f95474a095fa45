package data

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"slices"

	"github.com/adavit/adavit/picture"
)

// view shows some of the pictures of another Dataset.
type view struct {
	Dataset
	index []int
	note  string // which they are, where a user should know it
}

// Subset is the Dataset of d's pictures index[0], index[1], …; index is kept.
func Subset(d Dataset, index []int) (Dataset, error) {
	if len(index) == 0 {
		return nil, errors.New("a part of a data set without any picture")
	}
	for _, i := range index {
		if i < 0 || i >= d.Len() {
			return nil, fmt.Errorf("picture %d of a data set of %d", i, d.Len())
		}
	}
	return view{Dataset: d, index: index}, nil
}

func (v view) Len() int                       { return len(v.index) }
func (v view) Label(i int) int                { return v.Dataset.Label(v.index[i]) }
func (v view) Pixels(dst []byte, i int) error { return v.Dataset.Pixels(dst, v.index[i]) }
func (v view) Replaced(i int) bool            { return Replaced(v.Dataset, v.index[i]) }
func (v view) isTooLarge(i int) bool          { return TooLarge(v.Dataset, v.index[i]) }
func (v view) nameOf(i int) string            { return nameOf(v.Dataset, v.index[i]) }
func (v view) sizeOf(i int) int64             { return sizeOf(v.Dataset, v.index[i]) }

func (v view) Image(i int, how picture.Decoding) (image.Image, error) {
	return Image(v.Dataset, v.index[i], how)
}

// contents are those of the whole, of which what was skipped is told once.
func (v view) contents() (c Contents) {
	if known, ok := v.Dataset.(contained); ok {
		c = known.contents()
	}
	if v.note != "" {
		c.Folder, c.Skipped = c.Folder+", "+v.note, nil
	}
	return c
}

// sizeOf is how many bytes the file of picture i has; −1 where there is none.
func sizeOf(d Dataset, i int) int64 {
	if s, ok := d.(interface{ sizeOf(i int) int64 }); ok {
		return s.sizeOf(i)
	}
	return -1
}

// noted is d with a note on which part of the whole it is.
func noted(d Dataset, note string) Dataset {
	if v, ok := d.(view); ok {
		v.note = cmp.Or(v.note, note)
		return v
	}
	return d
}

// whole is a view of all pictures of d.
func whole(d Dataset) view {
	return view{Dataset: d, index: ascending(d.Len())}
}

// ascending is 0, 1, …, n−1.
func ascending(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// renamed is a Dataset whose classes are others.
type renamed struct {
	view
	classes []string
	class   []int // for each of those before; nil: the same
	skipped []Skipped
}

func (r renamed) Classes() []string { return r.classes }

func (r renamed) Label(i int) int {
	label := r.view.Label(i)
	if r.class != nil && label >= 0 {
		return r.class[label]
	}
	return label
}

func (r renamed) contents() Contents {
	c := r.view.contents()
	c.Skipped = slices.Concat(c.Skipped, r.skipped)
	return c
}

// rename calls the classes of d otherwise, of which there must be no fewer.
func rename(d Dataset, classes []string) Dataset {
	return renamed{view: whole(d), classes: classes}
}

// ErrNoPicture says that no picture of a data set is of a class that counts.
var ErrNoPicture = errors.New("no picture of a class that the model knows")

// Relabel gives the pictures of d other classes: class[l] of classes for label l. Those whose class is −1 are left out.
func Relabel(d Dataset, class []int, classes []string) (Dataset, error) {
	old := d.Classes()
	if len(class) != len(old) {
		return nil, fmt.Errorf("%d classes for %d", len(class), len(old))
	}
	if slices.Equal(classes, old) && slices.Equal(class, ascending(len(class))) {
		return d, nil
	}
	r := renamed{view: view{Dataset: d}, classes: classes, class: class}
	var left leftOut
	for i := range d.Len() {
		label := d.Label(i)
		if class[label] < 0 {
			left.add("of classes that the model does not know", old[label])
			continue
		}
		r.index = append(r.index, i)
	}
	if r.skipped = left; len(r.index) == 0 {
		return nil, ErrNoPicture
	}
	return r, nil
}
