package data

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"io"

	_ "image/gif"  // register the formats
	_ "image/jpeg" // that DecodeImage
	_ "image/png"  // recognises by content

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"
)

// limits bound what an image file may cost.
type limits struct {
	file   int64 // bytes of the file
	pixels int64 // height · width
	side   int64 // height or width: the resize weights of a side take 16 bytes a pixel
}

var defaultLimits = limits{file: 256 << 20, pixels: 100_000_000, side: 1 << 20}

// DecodeImageFile decodes the image file at path, which must be a regular file; see DecodeImage.
func DecodeImageFile(path string) (image.Image, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err // names the path itself
	}
	defer f.Close()
	return DecodeImage(path, f)
}

// DecodeImage decodes a JPEG, PNG, GIF (first frame), WebP, BMP or TIFF file.
// The content decides which it is; name stands for the file in errors.
//
// Files are not trusted: more than 256 MiB, or a header that says more than 100
// million pixels or a side of more than 2²⁰, is refused before anything is
// decoded, and a decoder that panics gives an error. EXIF orientation is
// ignored, as Pillow and transformers ignore it. A GIF's transparent pixels are
// black: the decoder does not tell the colour under them.
func DecodeImage(name string, r io.Reader) (image.Image, error) {
	img, err := decodeImage(r, defaultLimits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return img, nil
}

func decodeImage(r io.Reader, most limits) (img image.Image, err error) {
	b, err := io.ReadAll(io.LimitReader(r, most.file+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > most.file {
		return nil, fmt.Errorf("image file of more than %d MiB", most.file>>20)
	}
	if len(b) == 0 {
		return nil, errors.New("image file is empty")
	}
	defer func() {
		if p := recover(); p != nil {
			img, err = nil, fmt.Errorf("damaged image: decoder panicked: %v", p)
		}
	}()
	cfg, format, err := image.DecodeConfig(bytes.NewReader(b))
	if errors.Is(err, image.ErrFormat) {
		return nil, errors.New("not an image (JPEG, PNG, GIF, WebP, BMP and TIFF are supported)")
	} else if err != nil {
		return nil, fmt.Errorf("%s header: %w", format, err)
	}
	w, h := int64(cfg.Width), int64(cfg.Height)
	if w < 1 || h < 1 {
		return nil, fmt.Errorf("%s image of %d×%d pixels", format, w, h)
	}
	if w > most.side || h > most.side || w > most.pixels/h {
		return nil, fmt.Errorf("%s image of %d×%d pixels: the limit is %d million, and %d a side",
			format, w, h, most.pixels/1_000_000, most.side)
	}
	if least := leastBytes(format, cfg); least > int64(len(b)) {
		return nil, fmt.Errorf("%s image of %d×%d pixels in %d bytes: the file is cut short", format, w, h, len(b))
	}
	if img, _, err = image.Decode(bytes.NewReader(b)); err != nil {
		return nil, fmt.Errorf("%s: %w", format, unexpected(err))
	}
	if format == "webp" {
		img = fromVideo(img)
	}
	screen := image.Rect(0, 0, cfg.Width, cfg.Height)
	if bounds := img.Bounds(); bounds != screen {
		// A GIF's first frame may cover a part of the screen only.
		if bounds.Empty() || !bounds.In(screen) {
			return nil, fmt.Errorf("%s: picture %v outside of the %v that its header promises", format, bounds, screen)
		}
		whole := image.NewNRGBA(screen)
		draw.Draw(whole, screen, image.NewUniform(color.Black), image.Point{}, draw.Src)
		draw.Draw(whole, bounds, img, bounds.Min, draw.Src)
		img = whole
	}
	return img, nil
}

// leastBytes bounds from below the size of a PNG or BMP file of that header. Their
// decoders set the whole picture aside before they look at the data, up to 800
// MB for a file of a hundred bytes; the others' pictures are small or grow as
// they are read. 0 if nothing is known.
func leastBytes(format string, cfg image.Config) int64 {
	bits := int64(1) // a pixel's, at least
	switch cfg.ColorModel {
	case color.Gray16Model:
		bits = 16
	case color.RGBAModel, color.NRGBAModel: // NRGBA may be 8-bit grey with alpha
		bits = 16
	case color.RGBA64Model, color.NRGBA64Model:
		bits = 32
	}
	raw := int64(cfg.Width) * int64(cfg.Height) * bits / 8
	switch format {
	case "png":
		return raw / 1032 // deflate's best ratio
	case "bmp":
		return raw
	}
	return 0
}
