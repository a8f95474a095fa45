package picture

import (
	"errors"
	"strings"
	"testing"
)

// TestForeign: what is not read is called by its name.
func TestForeign(t *testing.T) {
	for b, want := range map[string]string{
		"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00mif1miaf":   "an AVIF picture, which is not supported (JPEG, PNG,",
		"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00avifmiaf":   "an AVIF picture",
		"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic":   "a HEIC picture",
		"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00heic":       "a HEIC picture",
		"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2":   "a video",
		"\x00\x00\x00\x0cjP  \r\n\x87\n\x00\x00":             "a JPEG 2000 picture",
		"\xff\x4f\xff\x51\x00\x2f":                           "a JPEG 2000 picture",
		"\xff\x0a\xfa\x1f":                                   "a JPEG XL picture",
		"8BPS\x00\x01":                                       "a Photoshop file",
		"\r\n<!DOCTYPE HTML><title>404</title>":              "a page of HTML, not a picture: was the download refused?",
		"<?xml version=\"1.0\"?>\n<svg xmlns=\"":             "an SVG drawing",
		"version https://git-lfs.github.com/spec/v1\noid":    "a pointer of Git LFS, not the file itself: fetch",
		"<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied": "a message in XML",
		"{\"error\": \"not found\"}":                         "a message in JSON",
		"{\"not JSON":                                        "not an image (JPEG,",
		strings.Repeat("\x00", 500):                          "nothing but zero bytes",
		"Image type: RGB image\r\nName: x":                   "an IM picture",
		"just text":                                          "not an image (JPEG,",
	} {
		_, err := Decode("dir/x.jpg", strings.NewReader(b))
		if !errors.Is(err, ErrFormat) || !strings.HasPrefix(err.Error(), "dir/x.jpg: "+want) {
			t.Errorf("%.20q: error %v, want %q", b, err, want)
		}
	}
}
