package picture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// foreign is what is often met where a picture is expected, and not read, so that the error can name it. Pillow 13
// reads AVIF and JPEG 2000: of their decoders without cgo, gen2brain/avif 0.4.4 adds 5 MB to the program, and no other
// was to be had (2026-11-27).
var foreign = []struct {
	name, begins string
	at           int // where
}{
	{"a JPEG 2000 picture", "\x00\x00\x00\x0cjP  \r\n\x87\n", 0}, {"a JPEG 2000 picture", "\xff\x4f\xff\x51", 0},
	{"a JPEG XL picture", "\x00\x00\x00\x0cJXL \r\n\x87\n", 0}, {"a JPEG XL picture", "\xff\x0a", 0},
	{"a JPEG XR picture", "II\xbc\x01", 0}, {"a BPG picture", "BPG\xfb", 0},
	{"a JNG picture", "\x8bJNG\r\n\x1a\n", 0}, {"an MNG animation", "\x8aMNG\r\n\x1a\n", 0},
	{"a Photoshop file", "8BPS", 0}, {"a GIMP file", "gimp xcf", 0}, {"a DDS texture", "DDS ", 0},
	{"a Blizzard texture", "BLP1", 0}, {"a Blizzard texture", "BLP2", 0}, {"a QOI picture", "qoif", 0},
	{"an OpenEXR picture", "v/1\x01", 0}, {"a Radiance picture", "#?RADIANCE", 0}, {"a FITS file", "SIMPLE  =", 0},
	{"an icon", "\x00\x00\x01\x00", 0}, {"a cursor", "\x00\x00\x02\x00", 0}, {"an icon", "icns", 0},
	{"an SGI picture", "\x01\xda", 0}, {"a Sun raster", "\x59\xa6\x6a\x95", 0}, {"an X pixmap", "/* XPM */", 0},
	{"an X bitmap", "#define ", 0}, {"a PCX picture", "\x0a\x05\x01", 0}, {"a PCX picture", "\x0a\x03\x01", 0},
	{"an animation in FLI or FLC", "\x11\xaf", 4}, {"an animation in FLI or FLC", "\x12\xaf", 4},
	{"a multi-page PCX file", "\xb1\x68\xde\x3a", 0}, {"an FTEX texture", "FTEX", 0}, {"an IM picture", "Image type:", 0},
	{"a Microsoft Paint picture", "DanM", 0}, {"a Microsoft Paint picture", "LinS", 0}, {"a thumbnail of XV", "P7 332", 0},
	{"a Photo CD picture", "PCD_", 2048}, {"a PIXAR picture", "\x80\xe8\x00\x00", 0}, {"a GIMP brush", "GIMP", 20},
	{"a McIDAS area file", "\x00\x00\x00\x00\x00\x00\x00\x04", 0},
	{"a BMP picture without its file header", "\x28\x00\x00\x00", 0},
	{"a PAM picture", "P7\n", 0}, {"a picture of floats in colour", "PF\n", 0},
	{"a DICOM file", "DICM", 128}, {"an HDF5 file", "\x89HDF\r\n", 0},
	{"a PDF file", "%PDF-", 0}, {"a PostScript file", "%!PS", 0}, {"a PostScript file", "\xc5\xd0\xd3\xc6", 0},
	{"a Windows metafile", "\xd7\xcd\xc6\x9a", 0}, {"a Windows metafile", " EMF", 40},
	{"a ZIP archive", "PK\x03\x04", 0}, {"a gzip file", "\x1f\x8b", 0}, {"a WebM video", "\x1a\x45\xdf\xa3", 0},
}

// foreignName says what b is, which is none of our formats; "" if that is not known.
func foreignName(b []byte) string {
	for _, f := range foreign {
		if f.at <= len(b) && hasPrefix(b[f.at:], f.begins) {
			return f.name
		}
	}
	if len(b) >= 12 && string(b[4:8]) == "ftyp" {
		return brandName(b)
	}
	if tail := b[max(len(b)-18, 0):]; hasPrefix(tail, "TRUEVISION-XFILE") {
		return "a TGA picture"
	}
	if text := beginning(b); strings.HasPrefix(text, "<svg") ||
		strings.HasPrefix(text, "<?xml") && strings.Contains(text, "<svg") {
		return "an SVG drawing"
	}
	return ""
}

// beginning is how a text begins, in lower case.
func beginning(b []byte) string {
	return strings.ToLower(string(bytes.TrimLeft(b[:min(len(b), 1024)], "\xef\xbb\xbf \t\r\n")))
}

// instead says what a download or a copy that went wrong left in a picture's place, and what to do; "" if b is not
// known for that.
func instead(b []byte) string {
	text := beginning(b)
	begins := func(with ...string) bool {
		return slices.ContainsFunc(with, func(w string) bool { return strings.HasPrefix(text, w) })
	}
	switch {
	case begins("version https://git-lfs"):
		return "a pointer of Git LFS, not the file itself: fetch it with git lfs pull"
	case begins("<!doctype html", "<html"):
		return "a page of HTML, not a picture: was the download refused?"
	case begins("<?xml") && foreignName(b) == "":
		return "a message in XML, not a picture: was the download refused?"
	case begins(`{"`) && json.Valid(b):
		return "a message in JSON, not a picture: was the download refused?"
	case len(b) >= magicBytes && len(bytes.TrimLeft(b, "\x00")) == 0:
		return "nothing but zero bytes: a copy or a download that did not end"
	}
	return ""
}

// brandName names a file of ISO's boxes by the brands in its first box.
func brandName(b []byte) string {
	box := b[8:min(len(b), 256)]
	if n := int(b[2])<<8 | int(b[3]); b[0] == 0 && b[1] == 0 && n >= 8 && n < len(b) {
		box = b[8:min(n, 256)]
	}
	has := func(brands ...string) bool {
		for at := 0; at+4 <= len(box); at += 4 {
			for _, brand := range brands {
				if string(box[at:at+4]) == brand && at != 4 { // a version stands there
					return true
				}
			}
		}
		return false
	}
	switch {
	case has("avif", "avis"):
		return "an AVIF picture"
	case has("heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1"):
		return "a HEIC picture"
	case has("jp2 ", "jpx "):
		return "a JPEG 2000 picture"
	case has("crx "):
		return "a camera's raw picture"
	}
	return "a video or another file in ISO's boxes"
}

// notRead is the error about a file that is none of our formats.
func notRead(b []byte) error {
	if what := instead(b); what != "" {
		return formatError(what)
	}
	name := foreignName(b)
	if name == "" {
		return ErrFormat
	}
	err := formatError(fmt.Sprintf("%s, which is not supported (%s are): convert it, to PNG for instance", name,
		supported))
	if isPictureName(name) {
		return unreadError{err}
	}
	return err
}

// isPictureName reports whether a name of foreign's is that of a picture.
func isPictureName(name string) bool { return strings.HasSuffix(name, " picture") }

// unreadError is ErrUnread.
type unreadError struct{ formatError }

func (e unreadError) Is(err error) bool { return err == ErrUnread || e.formatError.Is(err) }

// formatError is ErrFormat about a file of which more can be said.
type formatError string

func (e formatError) Error() string { return string(e) }

func (e formatError) Is(err error) bool { return err == ErrFormat }
