package datasets

import (
	"bytes"
	"embed"
	"fmt"
	"image"
	"io/fs"
	"path"
	"slices"
	"sync"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/picture"
)

// Sixty of the textile pictures of Megahed et al. 2025 (arXiv:2501.12596; MIT licence, see textile/LICENSE), RGB of
// 250×250: of each class the first by name of those that recipes/textile.sh sets aside to test on when its seed is 2,
// 30 sound ones, 15 with a small local defect and 15 of another texture. textile-adaptive has seen none of them.

//go:embed textile/*/*.jpg
var textilePictures embed.FS

const textileName = "textile"

// textile is a Dataset of the pictures above.
type textile struct {
	classes []string
	files   []string // in textilePictures
	labels  []int
}

// TextileTest is 60 pictures of textile of [3, 250, 250] from the program itself, which differ in size for all that a
// Dataset says: data.Fit gives them a model's.
func TextileTest() data.Dataset { return textileTest() }

var textileTest = sync.OnceValue(func() data.Dataset {
	d := &textile{}
	var err error
	if d.files, err = fs.Glob(textilePictures, textileName+"/*/*.jpg"); err != nil { // only a malformed pattern can
		panic(err)
	}
	for _, file := range d.files { // in the order of their classes
		class := path.Base(path.Dir(file))
		if !slices.Contains(d.classes, class) {
			d.classes = append(d.classes, class)
		}
		d.labels = append(d.labels, len(d.classes)-1)
	}
	return d
})

func (d *textile) Len() int                            { return len(d.files) }
func (d *textile) Label(i int) int                     { return d.labels[i] }
func (d *textile) Classes() []string                   { return d.classes }
func (d *textile) Size() (channels, height, width int) { return 0, 0, 0 }

// Pixels fails: the pictures are decoded for a model.
func (d *textile) Pixels([]byte, int) error {
	return fmt.Errorf("data set %s: its pictures need a model's preprocessor", textileName)
}

// Image decodes picture i.
func (d *textile) Image(i int, how picture.Decoding) (image.Image, error) {
	file, err := textilePictures.ReadFile(d.files[i])
	if err != nil {
		return nil, err
	}
	return how.Image(d.files[i], bytes.NewReader(file))
}

// textileSource is the pictures to test on; there are no others.
type textileSource struct{}

// Has implements data.Source.
func (textileSource) Has(split data.Split) bool { return split == data.Test }

// Open implements data.Source.
func (textileSource) Open(split data.Split) (data.Dataset, error) {
	if split != data.Test {
		return nil, fmt.Errorf("data set %s: 60 pictures to test on; recipes/textile.sh fetches the others", textileName)
	}
	return TextileTest(), nil
}
