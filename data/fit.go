package data

import (
	"fmt"
	"image"

	"github.com/adavit/adavit/picture"
)

// Fit gives d the model's input size: d itself if its pictures need no resizing, else a view that decodes, resizes and
// crops each picture when it is asked for. Either way Normalize turns its bytes into the model's input.
func Fit(d Dataset, p picture.Preprocessor, channels, height, width int) (Dataset, error) {
	if err := p.Check(channels, height, width); err != nil {
		return nil, err
	}
	c, h, w := d.Size()
	if c == channels && h == height && w == width {
		if fh, fw := p.Resized(h, w, height, width); fh == h && fw == w {
			return d, nil
		}
	}
	from, err := imagesFrom(d)
	if err != nil {
		return nil, fmt.Errorf("%w to resize to [%d %d %d]", err, channels, height, width)
	}
	return fitted{d, from, p, channels, height, width}, nil
}

// fitted is a Dataset through a preprocessor.
type fitted struct {
	Dataset
	from                    imager // the pictures of Dataset
	p                       picture.Preprocessor
	channels, height, width int
}

func (f fitted) Size() (channels, height, width int) { return f.channels, f.height, f.width }

func (f fitted) Replaced(i int) bool { return Replaced(f.Dataset, i) }

// Pixels decodes, resizes and crops picture i. One that cannot be resized counts as damaged too, where the Dataset
// bears that.
func (f fitted) Pixels(dst []byte, i int) error {
	if want := f.channels * f.height * f.width; len(dst) != want {
		return fmt.Errorf("room for %d bytes, a picture of shape [%d %d %d] takes %d",
			len(dst), f.channels, f.height, f.width, want)
	}
	if t, ok := f.from.(*Tolerated); ok {
		return t.try(i, func(j int) error { return f.pixels(dst, t.from, j) })
	}
	return f.pixels(dst, f.from, i)
}

func (f fitted) pixels(dst []byte, from imager, i int) error {
	img, err := from.Image(i)
	if err != nil {
		return err
	}
	if err := f.p.Bytes(dst, img, f.channels, f.height, f.width); err != nil {
		return fmt.Errorf("%s: %w", nameOf(from, i), err)
	}
	return nil
}

// imagesFrom gives the pictures of d as images, before any resizing.
func imagesFrom(d Dataset) (imager, error) {
	t, tolerated := d.(*Tolerated)
	if im, ok := d.(imager); ok && !(tolerated && t.from == nil) {
		return im, nil
	}
	if c, h, w := d.Size(); c != 1 && c != 3 {
		return nil, fmt.Errorf("pictures of shape [%d %d %d] are no images", c, h, w)
	}
	return imagesOf{d}, nil
}

// imagesOf makes images of the pictures of a Dataset of fixed size, of 1 or 3 channels.
type imagesOf struct{ d Dataset }

func (m imagesOf) Image(i int) (image.Image, error) {
	c, h, w := m.d.Size()
	pixels := make([]byte, c*h*w)
	if err := m.d.Pixels(pixels, i); err != nil {
		return nil, err
	}
	bounds := image.Rect(0, 0, w, h)
	if c == 1 {
		return &image.Gray{Pix: pixels, Stride: w, Rect: bounds}, nil
	}
	img := image.NewNRGBA(bounds)
	for k := range h * w {
		img.Pix[4*k], img.Pix[4*k+1], img.Pix[4*k+2], img.Pix[4*k+3] = pixels[k], pixels[h*w+k], pixels[2*h*w+k], 255
	}
	return img, nil
}
