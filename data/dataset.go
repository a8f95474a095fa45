// Package data brings labelled pictures to a vision transformer: data sets on disk (IDX, CIFAR, tar shards, folders of
// image files), decoding of untrusted image files, the resize-crop-normalise step that a model's
// preprocessor_config.json describes, augmentation, a loader that works ahead, and the orders and random streams that
// make a training run repeatable.
//
// Pictures travel as bytes in [C, H, W] order (channel, row, column) until the last moment;
// picture.Preprocessor.Normalize or Augment.Apply turn them into the float32 [C, H, W] that the model reads:
//
//	x = (byte · rescale_factor − mean[c]) / std[c]
//
// A Dataset whose pictures already have the model's size is used as it is. Fit puts any other one behind the same
// interface by decoding, resizing and cropping on demand, so that nothing downstream has to know the difference.
package data

import (
	"fmt"
	"image"
	"slices"
	"strconv"

	"github.com/adavit/adavit/picture"
)

// Split names a part of a data set.
type Split string

// The parts that a data set may have: to learn from, to choose by, to report.
const (
	Train      Split = "train"
	Validation Split = "validation"
	Test       Split = "test"
)

// Dataset is a fixed list of labelled pictures. All methods may be called from several goroutines at once.
type Dataset interface {
	// Len is the number of pictures, at least 1.
	Len() int
	// Label is the class of picture i, 0 ≤ Label < len(Classes()).
	Label(i int) int
	// Classes names the classes, in the order of the labels.
	Classes() []string
	// Size is the shape that all pictures share; 0, 0, 0 if their files differ in size, in which case Pixels fails and
	// Fit gives a usable Dataset.
	Size() (channels, height, width int)
	// Pixels writes picture i as [channels, height, width] bytes to dst, whose length must be exactly that.
	Pixels(dst []byte, i int) error
}

// imager is a Dataset that can hand out a picture before any resizing.
type imager interface {
	Image(i int, how picture.Decoding) (image.Image, error)
}

// replacer is a Dataset that may give another picture in place of a damaged one. A view of one answers for it, or the
// stand-in would count as a picture.
type replacer interface{ Replaced(i int) bool }

// Replaced reports whether picture i of d is known to be damaged, so that another is given for it (see Tolerated). Once
// i has been loaded the answer stays.
func Replaced(d Dataset, i int) bool {
	r, ok := d.(replacer)
	return ok && r.Replaced(i)
}

// TooLarge reports whether picture i of d is known to be whole, but of more pixels than may be decoded (see Tolerated).
func TooLarge(d Dataset, i int) bool {
	l, ok := d.(interface{ isTooLarge(i int) bool })
	return ok && l.isTooLarge(i)
}

// namer is a Dataset whose pictures have names of their own, for messages.
type namer interface{ nameOf(i int) string }

// nameOf is what picture i is called in messages.
func nameOf(d Dataset, i int) string {
	if n, ok := d.(namer); ok {
		return n.nameOf(i)
	}
	return fmt.Sprintf("picture %d", i)
}

// shape is [channels, height, width].
type shape struct{ channels, height, width int }

func (s shape) Size() (channels, height, width int) { return s.channels, s.height, s.width }

func (s shape) String() string { return fmt.Sprintf("[%d %d %d]", s.channels, s.height, s.width) }

// values is how many numbers a picture has.
func (s shape) values() int { return s.channels * s.height * s.width }

// checkRoom reports that n numbers, of that kind, are not what a picture takes.
func (s shape) checkRoom(n int, kind string) error {
	if n != s.values() {
		return fmt.Errorf("room for %d %s, a picture of shape %v takes %d", n, kind, s, s.values())
	}
	return nil
}

// block is a Dataset held in memory.
type block struct {
	shape
	name    string
	pixels  []byte // [n, C, H, W]
	labels  []byte
	classes []string
	listed  bool // by a class list
}

// NewBlock makes a Dataset of pixels [n, channels, height, width] and labels [n], both kept, not copied. name stands
// for it in errors. The error says which of the sizes disagree, or which label is beyond the classes.
func NewBlock(name string, pixels, labels []byte, channels, height, width int, classes []string) (Dataset, error) {
	b := &block{shape: shape{channels, height, width}, name: name, pixels: pixels, labels: labels, classes: classes}
	switch size := b.values(); {
	case channels < 1 || height < 1 || width < 1:
		return nil, fmt.Errorf("%s: pictures of shape %v", name, b.shape)
	case len(pixels)%size != 0 || len(pixels)/size != len(labels):
		return nil, fmt.Errorf("%s: %d bytes of pixels are not %d pictures of shape %v, one for each label",
			name, len(pixels), len(labels), b.shape)
	case len(labels) == 0:
		return nil, fmt.Errorf("%s: no pictures", name)
	}
	for i, l := range labels {
		if int(l) >= len(classes) {
			return nil, fmt.Errorf("%s: label %d of picture %d is beyond the %d classes", name, l, i, len(classes))
		}
	}
	return b, nil
}

func (b *block) Len() int          { return len(b.labels) }
func (b *block) Label(i int) int   { return int(b.labels[i]) }
func (b *block) Classes() []string { return b.classes }

func (b *block) contents() Contents { return Contents{Folder: b.name, Listed: b.listed, Checked: true} }

// listed is d with the knowledge of whether a class list numbers its classes.
func listed(d Dataset, err error, yes bool) (Dataset, error) {
	if b, ok := d.(*block); ok {
		b.listed = yes
	}
	return d, err
}

// Pixels copies picture i to dst.
func (b *block) Pixels(dst []byte, i int) error {
	if i < 0 || i >= len(b.labels) {
		return fmt.Errorf("%s: picture %d of %d", b.name, i, len(b.labels))
	}
	if err := b.checkRoom(len(dst), "bytes"); err != nil {
		return fmt.Errorf("%s: %w", b.name, err)
	}
	copy(dst, b.pixels[i*len(dst):])
	return nil
}

// numbered names n classes by their numbers.
func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}

// Numbered reports whether classes have no names but their numbers, "0", "1", ….
func Numbered(classes []string) bool { return slices.Equal(classes, numbered(len(classes))) }
