package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"

	"github.com/adavit/adavit/internal/regular"
)

// supported names the formats that are read.
const supported = "JPEG, PNG, GIF, WebP, BMP, TIFF and PNM"

// Errors about image files that are told apart: what Image says of a file that is none, or of a format that is not
// read (errors.Is), and wraps for one of more pixels than it may have. All others are about damage.
var (
	ErrFormat   = errors.New("not an image (" + supported + " are supported)")
	ErrTooLarge = errors.New("too large")
	// ErrUnread is an ErrFormat about what is a picture all the same, of a format that is not read, such as HEIC.
	ErrUnread = errors.New("a picture of a format that is not supported")
)

// Decoding says how image files become pictures.
type Decoding struct {
	Exif Exif
	// MaxPixels is the most pixels, height · width, of a picture; 0 for DefaultMaxPixels.
	MaxPixels int64
}

// DefaultMaxPixels is Pillow's limit, 2 · ⌊2³⁰ / 12⌋: beyond it there is a DecompressionBombError.
const DefaultMaxPixels = 178_956_970

// Exif says whether the orientation in a file's EXIF block turns the picture. Those who train models differ:
// torchvision and timm ignore it, transformers and the library datasets apply it.
type Exif string

// ExifOfModel is what Preprocessor.Exif says; where there is no model, the block is ignored.
const (
	ExifOfModel Exif = ""
	ExifApply   Exif = "apply"
	ExifIgnore  Exif = "ignore"
)

// Check reports a value that is none of the constants, or a limit that is none.
func (d Decoding) Check() error {
	if d.Exif != ExifOfModel && d.Exif != ExifApply && d.Exif != ExifIgnore {
		return fmt.Errorf("exif is %q, want %s, %s or nothing for the model's own way", d.Exif, ExifApply, ExifIgnore)
	}
	if d.MaxPixels < 0 {
		return fmt.Errorf("a limit of %d pixels, want 1 or more, or 0 for %d", d.MaxPixels, DefaultMaxPixels)
	}
	return nil
}

// limits bound what an image file may cost.
type limits struct {
	file   int64 // bytes of the file
	pixels int64 // height · width
	side   int64 // height or width: the resize weights of a side take 16 bytes a pixel
	scans  int   // passes over the picture that a JPEG file may make
}

var defaultLimits = limits{file: 256 << 20, pixels: DefaultMaxPixels, side: 1 << 20, scans: 200}

// DecodeFile decodes the image file at path as Decoding{} says.
func DecodeFile(path string) (image.Image, error) { return Decoding{}.File(path) }

// Decode decodes an image file as Decoding{} says.
func Decode(name string, r io.Reader) (image.Image, error) { return Decoding{}.Image(name, r) }

// File decodes the image file at path, which must be a regular file; see Image.
func (d Decoding) File(path string) (image.Image, error) {
	f, _, err := regular.Open(path)
	if err != nil {
		return nil, err // names the path itself
	}
	defer f.Close()
	return d.Image(path, f)
}

// Image decodes a JPEG, PNG, GIF, WebP, BMP, TIFF or PNM file; of an animation or a file of several pages, the first.
// The content decides which it is; name stands for the file in errors.
//
// The colours are those of Pillow's convert("RGB"). What that does to 16 bits is peculiar: of colour the upper 8 stay,
// but grey is cut off at 255, so that most such pictures turn out white. A TIFF file's orientation always counts, as it
// does in Pillow, EXIF's only by ExifApply.
//
// Files are not trusted: more than 256 MiB, or a header that says more than MaxPixels or a side of more than 2²⁰, or
// more pixels than that many bytes can hold, is refused before anything is decoded.
func (d Decoding) Image(name string, r io.Reader) (image.Image, error) {
	return decodeImage(name, r, d.limits(), d.Exif == ExifApply)
}

// Open reads the header of an image file, and refuses what Image refuses before it decodes anything; the rest is for
// Decode. So a program can see what a picture will cost first.
func (d Decoding) Open(name string, b []byte) (*Opened, error) {
	return openImage(name, b, d.limits(), d.Exif == ExifApply)
}

func (d Decoding) limits() limits {
	most := defaultLimits
	if d.MaxPixels > 0 {
		most.pixels = d.MaxPixels
	}
	return most
}

// Opened is an image file whose pixels are not decoded yet.
type Opened struct {
	Width, Height int // as the header has them, before any turning

	name   string
	format *format
	header header
	exif   bool
}

// Decode returns the picture.
func (o *Opened) Decode() (image.Image, error) {
	img, err := o.format.decode(o.header, o.exif)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.name, err)
	}
	return img, nil
}

func decodeImage(name string, r io.Reader, most limits, exif bool) (img image.Image, err error) {
	b, err := regular.ReadAll(name, r, most.file)
	if err != nil {
		return nil, err // names the file itself
	}
	o, err := openImage(name, b, most, exif)
	if err != nil {
		return nil, err
	}
	return o.Decode()
}

func openImage(name string, b []byte, most limits, exif bool) (o *Opened, err error) {
	f := formatOf(b)
	var h header
	switch {
	case int64(len(b)) > most.file:
		err = fmt.Errorf("image file of %d bytes is %w: the limit is %d", len(b), ErrTooLarge, most.file)
	case len(b) == 0:
		err = errors.New("image file is empty")
	case f == nil:
		err = notRead(b)
	default:
		h, err = f.header(b, most)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &Opened{h.width, h.height, name, f, h, exif}, nil
}

// header is what is known of an image file before its pixels are decoded.
type header struct {
	width, height int
	least         int64 // the file cannot be whole with fewer bytes
	exif, xmp     []byte
	decode        func() (image.Image, error)
}

// format is one kind of image file.
type format struct {
	name string
	is   func(b []byte) bool
	open func(b []byte, most limits) (header, error) // of a whole file
}

var formats = []format{
	{"jpeg", isJPEG, openJPEG},
	{"png", isPNG, openPNG},
	{"gif", isGIF, openGIF},
	{"webp", isWebP, openWebP},
	{"bmp", isBMP, openBMP},
	{"tiff", isTIFF, openTIFF},
	{"pnm", isPNM, openPNM},
}

// magicBytes is how many bytes of a file tell its format.
const magicBytes = 18

// formatOf finds the format of a file that begins with b; nil if it is no image.
func formatOf(b []byte) *format {
	if i := slices.IndexFunc(formats, func(f format) bool { return f.is(b) }); i >= 0 {
		return &formats[i]
	}
	return nil
}

// header reads the header of a file of that format, and checks it. A decoder that panics gives an error.
func (f *format) header(b []byte, most limits) (h header, err error) {
	defer f.panics(&err)
	if h, err = f.open(b, most); err != nil {
		return h, fmt.Errorf("%s: %w", f.name, regular.CutShort(err))
	}
	if err := most.check(h, len(b)); err != nil {
		return h, fmt.Errorf("%s %w", f.name, err)
	}
	return h, nil
}

// decode decodes what follows the header.
func (f *format) decode(h header, exif bool) (img image.Image, err error) {
	defer f.panics(&err)
	if img, err = h.decode(); err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, regular.CutShort(err))
	}
	if got := img.Bounds().Size(); got != image.Pt(h.width, h.height) {
		return nil, fmt.Errorf("%s: picture of %d×%d pixels where the header promises %d×%d",
			f.name, got.X, got.Y, h.width, h.height)
	}
	if exif {
		img = orient(img, orientation(h.exif, h.xmp))
	}
	return img, nil
}

// panics, deferred, makes a decoder's panic an error.
func (f *format) panics(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("damaged %s image: decoder panicked: %v", f.name, p)
	}
}

// check refuses a picture that is too large or that size bytes cannot hold.
func (l limits) check(h header, size int) error {
	w, ht := int64(h.width), int64(h.height)
	switch {
	case w < 1 || ht < 1:
		return fmt.Errorf("image of %d×%d pixels is empty", w, ht)
	case l.tooLarge(h.width, h.height):
		return fmt.Errorf("image of %d×%d pixels is %w: the limit is %d pixels, and %d a side",
			w, ht, ErrTooLarge, l.pixels, l.side)
	case h.least > int64(size):
		return fmt.Errorf("image of %d×%d pixels in %d bytes: the file is cut short, or the size wrong", w, ht, size)
	}
	return nil
}

// tooLarge reports whether a picture has more pixels than it may.
func (l limits) tooLarge(width, height int) bool {
	w, h := int64(width), int64(height)
	return w > l.side || h > l.side || h > 0 && w > l.pixels/h
}

// hasPrefix is bytes.HasPrefix for a string, for the formats' first bytes.
func hasPrefix(b []byte, prefix string) bool { return bytes.HasPrefix(b, []byte(prefix)) }
