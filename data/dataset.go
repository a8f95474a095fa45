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
	"errors"
	"fmt"
	"image"
	"strconv"
)

// Split names a part of a data set.
type Split string

// The two parts that Open knows.
const (
	Train Split = "train"
	Test  Split = "test"
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
	Image(i int) (image.Image, error)
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

// namer is a Dataset whose pictures have names of their own, for messages.
type namer interface{ nameOf(i int) string }

// renamer is a Dataset whose classes can be called otherwise.
type renamer interface {
	renamed(classes []string) Dataset
}

// Block is a Dataset held in memory: one block of bytes, [n, C, H, W].
type Block struct {
	name                    string
	channels, height, width int
	pixels                  []byte
	labels                  []byte
	classes                 []string
}

// NewBlock makes a Dataset of pixels [n, channels, height, width] and labels [n], both kept, not copied. name stands
// for it in errors. The error says which of the sizes disagree, or which label is beyond the classes.
func NewBlock(name string, pixels, labels []byte, channels, height, width int, classes []string) (*Block, error) {
	if channels < 1 || height < 1 || width < 1 {
		return nil, fmt.Errorf("%s: pictures of shape [%d %d %d]", name, channels, height, width)
	}
	size := channels * height * width
	if len(pixels)%size != 0 || len(pixels)/size != len(labels) {
		return nil, fmt.Errorf("%s: %d bytes of pixels are not %d pictures of shape [%d %d %d], one for each label",
			name, len(pixels), len(labels), channels, height, width)
	}
	if len(labels) == 0 {
		return nil, fmt.Errorf("%s: no pictures", name)
	}
	for i, l := range labels {
		if int(l) >= len(classes) {
			return nil, fmt.Errorf("%s: label %d of picture %d is beyond the %d classes", name, l, i, len(classes))
		}
	}
	return &Block{name, channels, height, width, pixels, labels, classes}, nil
}

// Len is the number of pictures.
func (b *Block) Len() int { return len(b.labels) }

// Label is the class of picture i.
func (b *Block) Label(i int) int { return int(b.labels[i]) }

// Classes names the classes.
func (b *Block) Classes() []string { return b.classes }

// Size is the shape of every picture.
func (b *Block) Size() (channels, height, width int) { return b.channels, b.height, b.width }

// Pixels copies picture i to dst.
func (b *Block) Pixels(dst []byte, i int) error {
	size := b.channels * b.height * b.width
	if i < 0 || i >= len(b.labels) {
		return fmt.Errorf("%s: picture %d of %d", b.name, i, len(b.labels))
	}
	if len(dst) != size {
		return fmt.Errorf("%s: room for %d bytes, a picture of shape [%d %d %d] takes %d",
			b.name, len(dst), b.channels, b.height, b.width, size)
	}
	copy(dst, b.pixels[i*size:])
	return nil
}

// renamed is the same pictures with other names for their classes, of which there are no fewer.
func (b *Block) renamed(classes []string) Dataset {
	r := *b
	r.classes = classes
	return &r
}

// subset shows some of the pictures of another Dataset.
type subset struct {
	Dataset
	index []int
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
	s := subset{d, index}
	if im, ok := d.(imager); ok {
		return imageSubset{s, im}, nil
	}
	return s, nil
}

func (s subset) Len() int                       { return len(s.index) }
func (s subset) Label(i int) int                { return s.Dataset.Label(s.index[i]) }
func (s subset) Pixels(dst []byte, i int) error { return s.Dataset.Pixels(dst, s.index[i]) }
func (s subset) Replaced(i int) bool            { return Replaced(s.Dataset, s.index[i]) }

// imageSubset keeps the ability to hand out whole pictures.
type imageSubset struct {
	subset
	from imager
}

func (s imageSubset) Image(i int) (image.Image, error) { return s.from.Image(s.index[i]) }

func (s imageSubset) nameOf(i int) string { return nameOf(s.from, s.index[i]) }

// nameOf is what picture i is called in messages.
func nameOf(from imager, i int) string {
	if n, ok := from.(namer); ok {
		return n.nameOf(i)
	}
	return fmt.Sprintf("picture %d", i)
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
func Numbered(classes []string) bool {
	for i, name := range classes {
		if name != strconv.Itoa(i) {
			return false
		}
	}
	return true
}
