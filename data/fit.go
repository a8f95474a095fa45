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
	if err := checkImages(d); err != nil {
		return nil, fmt.Errorf("%w to resize to [%d %d %d]", err, channels, height, width)
	}
	return fitted{d, p, shape{channels, height, width}}, nil
}

// fitted is a Dataset through a preprocessor.
type fitted struct {
	Dataset
	p     picture.Preprocessor
	shape shape
}

func (f fitted) Size() (channels, height, width int) { return f.shape.Size() }
func (f fitted) Replaced(i int) bool                 { return Replaced(f.Dataset, i) }
func (f fitted) isTooLarge(i int) bool               { return TooLarge(f.Dataset, i) }

// Pixels decodes, resizes and crops picture i. One that cannot be resized counts as damaged too, where the Dataset
// bears that.
func (f fitted) Pixels(dst []byte, i int) error {
	if err := f.shape.checkRoom(len(dst), "bytes"); err != nil {
		return err
	}
	if t, ok := f.Dataset.(*Tolerated); ok {
		return t.try(i, func(j int) error { return f.pixels(dst, t.Dataset, j) })
	}
	return f.pixels(dst, f.Dataset, i)
}

func (f fitted) pixels(dst []byte, from Dataset, i int) error {
	img, err := Image(from, i, f.p.Decoding())
	if err != nil {
		return err
	}
	if err := f.p.Bytes(dst, img, f.shape.channels, f.shape.height, f.shape.width); err != nil {
		return fmt.Errorf("%s: %w", nameOf(from, i), err)
	}
	return nil
}

// checkImages reports why the pictures of d cannot be images.
func checkImages(d Dataset) error {
	if c, h, w := d.Size(); c != 0 && c != 1 && c != 3 {
		return fmt.Errorf("pictures of shape %v are no images", shape{c, h, w})
	}
	return nil
}

// Image is picture i of d before any resizing: its file, decoded as how says, or made of its pixels.
func Image(d Dataset, i int, how picture.Decoding) (image.Image, error) {
	if im, ok := d.(imager); ok {
		return im.Image(i, how)
	}
	if err := checkImages(d); err != nil {
		return nil, err
	}
	c, h, w := d.Size()
	pixels := make([]byte, c*h*w)
	if err := d.Pixels(pixels, i); err != nil {
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
