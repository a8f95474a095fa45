package data

import (
	"fmt"
	"image"
)

// Fit gives d the model's input size: d itself if its pictures need no
// resizing, else a view that decodes, resizes and crops each picture when it is
// asked for. Either way Normalize turns its bytes into the model's input.
func Fit(d Dataset, p Preprocessor, channels, height, width int) (Dataset, error) {
	if err := p.Check(channels, height, width); err != nil {
		return nil, err
	}
	c, h, w := d.Size()
	if c == channels && h == height && w == width {
		if fh, fw := p.resized(h, w, height, width); fh == h && fw == w {
			return d, nil
		}
	}
	im, ok := d.(imager)
	if !ok {
		if c != 1 && c != 3 {
			return nil, fmt.Errorf("pictures of shape [%d %d %d] cannot be resized to [%d %d %d]", c, h, w, channels, height, width)
		}
		im = imagesOf{d}
	}
	return fitted{d, im, p, channels, height, width}, nil
}

// fitted is a Dataset through a preprocessor.
type fitted struct {
	Dataset
	from                    imager
	p                       Preprocessor
	channels, height, width int
}

func (f fitted) Size() (channels, height, width int) { return f.channels, f.height, f.width }

func (f fitted) Pixels(dst []byte, i int) error {
	img, err := f.from.Image(i)
	if err != nil {
		return err
	}
	if err := f.p.Bytes(dst, img, f.channels, f.height, f.width); err != nil {
		return fmt.Errorf("picture %d: %w", i, err)
	}
	return nil
}

// imagesOf makes images of the pictures of a Dataset of fixed size, of 1 or 3
// channels.
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
