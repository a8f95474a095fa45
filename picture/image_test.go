package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDecodeAsPillow compares pictures of every kind with what Pillow 13 makes of them by convert("RGB"), which
// NAME.rgb.png holds: no byte may differ.
//
// Pictures of 23×17 and less were made of a photograph (CC0) with Pillow itself; the JPEG files of uncommon sampling
// with cjpeg of libjpeg-turbo (-sample 4x1, 1x2, 4x2, "2x2,1x2,2x1", "1x1,2x2,1x1"; -rgb, -restart 1B, -progressive,
// -arithmetic), ycck420.jpg and the TIFF files of planes, tiles, 16 bits and premultiplied alpha with ImageMagick. The
// pictures of 13×7 and 10×6, of random indices, and the BMP and GIF files around them were written byte by byte by a
// script, as was premultiplied_planes.tif, and other TIFF files of which Pillow made the compressed data alone: big,
// lab, grey12, float3, lzma, unmarked, oldjpeg, ycc22 and their likes. overflow.jpg and overflowp.jpg are Pillow's with
// quantisation tables that do not belong to them, so that coefficients leave 16 bits; the JPEG files named smooth lack
// their last scans.
func TestDecodeAsPillow(t *testing.T) {
	wants, err := filepath.Glob("testdata/pillow/*.rgb.png")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, want := range wants {
		if strings.Contains(want, "resize.") {
			continue
		}
		seen++
		source := strings.TrimSuffix(want, ".rgb.png")
		worst, mean := compare(t, mustParse(t, `{"do_resize": false}`), mustDecode(t, source), 3, mustDecode(t, want))
		if worst > 0 {
			t.Errorf("%s: differs from Pillow by up to %d, by %.4f on average", source, worst, mean)
		}
	}
	if seen < 110 {
		t.Errorf("only %d pictures compared", seen)
	}
}

// TestPixelKinds checks the row readers against colours set one by one, on pictures whose bounds do not start at 0.
func TestPixelKinds(t *testing.T) {
	bounds := image.Rect(3, 5, 6, 7)
	c := color.NRGBA64{0x1280, 0x34ff, 0xfe01, 0x8000}
	for _, k := range []struct {
		img  interface{ Set(x, y int, c color.Color) }
		want [3]byte
	}{
		{image.NewNRGBA64(bounds), [3]byte{0x12, 0x34, 0xfe}},
		{image.NewNRGBA(bounds), [3]byte{0x12, 0x34, 0xfd}}, // Set rounds on its way
		{image.NewRGBA64(bounds), [3]byte{0x12, 0x34, 0xfd}},
		{image.NewRGBA(bounds), [3]byte{0x11, 0x33, 0xfd}},
		{image.NewGray(bounds), [3]byte{0x20, 0x20, 0x20}}, // grey of c over black
		{image.NewGray16(bounds), [3]byte{0x20, 0x20, 0x20}},
		{image.NewCMYK(bounds), [3]byte{0x09, 0x1a, 0x7f}}, // of c over black
	} {
		k.img.Set(4, 6, c)
		src := readRows(k.img.(image.Image), 3)
		line := make([]byte, 3*src.step)
		src.row(1, line)
		if got := [3]byte(line[src.step:]); got != k.want {
			t.Errorf("%T: %x, want %x", k.img, got, k.want)
		}
		grey := make([]byte, 3)
		readRows(k.img.(image.Image), 1).row(1, grey)
		if want := (19595*int(k.want[0]) + 38470*int(k.want[1]) +
			7471*int(k.want[2]) + 1<<15) >> 16; int(grey[1]) != want {
			t.Errorf("%T: grey %d, want %d", k.img, grey[1], want)
		}
	}
	// A part of a subsampled picture that starts on an odd pixel.
	whole := image.NewYCbCr(image.Rect(0, 0, 9, 9), image.YCbCrSubsampleRatio420)
	for i := range whole.Cb {
		whole.Cb[i], whole.Cr[i] = byte(i*7), byte(i*5+60)
	}
	part := whole.SubImage(image.Rect(1, 1, 8, 8))
	a, b := make([]byte, 27), make([]byte, 21)
	readRows(whole, 3).row(4, a)
	readRows(part, 3).row(3, b)
	if !bytes.Equal(a[2*3:7*3], b[1*3:6*3]) { // but for the edges, which see fewer neighbours
		t.Errorf("part % x, whole % x", b, a)
	}
}

func TestDecodeImageErrors(t *testing.T) {
	jpeg, err := os.ReadFile("testdata/pillow/420.jpg")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file []byte
		want string
	}{
		{nil, "empty"},
		{[]byte("P9 1 1 255 hello"), "not an image"},
		{jpeg[:100], "jpeg"},
		{jpeg[:len(jpeg)-200], "jpeg"},
		{pngHeader(20000, 8948), "the limit is 178956970 pixels"},
		{pngHeader(1<<21, 1), "limit"},
		{pngHeader(9000, 9000), "cut short"}, // would set aside 648 MB
		{pngHeader(0, 7), "png"},
	} {
		_, err := Decode("dir/x.img", bytes.NewReader(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "dir/x.img: ") {
			t.Errorf("error %v, want one that names the file and %q", err, c.want)
		}
	}
	if _, err := decodeImage("x", bytes.NewReader(jpeg),
		limits{file: int64(len(jpeg)) - 1, pixels: 1 << 20, side: 1 << 20}, false); err == nil {
		t.Error("a file over the limit was decoded")
	}
	if _, err := DecodeFile("testdata/none.png"); err == nil || !strings.Contains(err.Error(), "testdata/none.png") {
		t.Errorf("error %v", err)
	}
	if _, err := DecodeFile("testdata"); err == nil || !strings.Contains(err.Error(), "testdata") {
		t.Errorf("error %v", err)
	}
	// A decoder that panics is an error too.
	panicking := format{name: "panicking", open: func([]byte, limits) (header, error) { panic("out of range") }}
	if _, err := panicking.header([]byte("x"), defaultLimits); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("error %v", err)
	}
	h := header{decode: func() (image.Image, error) { panic("out of range") }}
	if _, err := panicking.decode(h, false); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("error %v", err)
	}
}

// TestOpen: the header alone says how large a picture is, and whether it is refused.
func TestOpen(t *testing.T) {
	o, err := Decoding{}.Open("x", pngHeader(3000, 2000)[:33])
	if err == nil {
		t.Errorf("%d × %d pixels in 33 bytes", o.Width, o.Height)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 30, 20))); err != nil {
		t.Fatal(err)
	}
	if o, err = (Decoding{}).Open("x", b.Bytes()); err != nil || o.Width != 30 || o.Height != 20 {
		t.Fatalf("%+v, %v", o, err)
	}
	if img, err := o.Decode(); err != nil || img.Bounds() != image.Rect(0, 0, 30, 20) {
		t.Errorf("%v, %v", img, err)
	}
	if _, err := (Decoding{MaxPixels: 599}).Open("dir/x", b.Bytes()); !errors.Is(err, ErrTooLarge) ||
		!strings.HasPrefix(err.Error(), "dir/x: ") {
		t.Errorf("one pixel too many: %v", err)
	}
	if o, err = (Decoding{}).Open("dir/x", b.Bytes()[:50]); err != nil {
		t.Fatalf("cut short behind the header: %v", err)
	}
	if _, err := o.Decode(); err == nil || !strings.HasPrefix(err.Error(), "dir/x: png: ") {
		t.Errorf("cut short: %v", err)
	}
}

// TestPhone: a phone's 108 megapixels are within Pillow's limit, and can be refused.
func TestPhone(t *testing.T) {
	const width, height = 12000, 9000
	b := append([]byte("\xff\xd8\xff\xdb\x00\x43\x00"), bytes.Repeat([]byte{1}, 64)...)
	b = append(b, 0xff, jpegSOF0, 0, 11, 8, height>>8, height&255, width>>8, width&255, 1, 1, 0x11, 0)
	for _, class := range []byte{0, 16} { // one code, 0: a difference of 0, and the end of a block
		b = append(append(b, 0xff, jpegDHT, 0, 20, class, 1), make([]byte, 16)...)
	}
	b = append(b, 0xff, jpegSOS, 0, 8, 1, 1, 0, 0, 63, 0)
	b = append(append(b, make([]byte, width*height/64/4)...), 0xff, jpegEOI)
	o, err := Decoding{}.Open("108mp.jpg", b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (Decoding{MaxPixels: width*height - 1}).Open("108mp.jpg", b); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one pixel beyond the limit: %v", err)
	}
	if testing.Short() {
		return
	}
	img, err := o.Decode()
	if err != nil {
		t.Fatal(err)
	}
	if g, ok := img.(*image.Gray); !ok || g.GrayAt(width-1, height-1).Y != 128 {
		t.Errorf("%T, want 128 in the last corner of a grey picture", img)
	}
}

// pngHeader is a PNG file of 16-bit RGBA with no pixels in it.
func pngHeader(width, height uint32) []byte {
	chunk := []byte("IHDR")
	chunk = binary.BigEndian.AppendUint32(chunk, width)
	chunk = binary.BigEndian.AppendUint32(chunk, height)
	chunk = append(chunk, 16, 6, 0, 0, 0)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), chunk...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(chunk))
	return append(b, "\x00\x00\x00\x00IDAT"...)
}

// TestGIFScreen: a first frame that covers a part of the screen stays in its place.
func TestGIFScreen(t *testing.T) {
	frame := image.NewPaletted(image.Rect(2, 1, 4, 3), palette.Plan9)
	for i := range frame.Pix {
		frame.Pix[i] = 255 // white
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &gif.GIF{Image: []*image.Paletted{frame}, Delay: []int{0},
		Config: image.Config{ColorModel: color.Palette(palette.Plan9), Width: 6, Height: 5}}); err != nil {
		t.Fatal(err)
	}
	img, err := Decode("x.gif", &b)
	if err != nil {
		t.Fatal(err)
	}
	sum := make([]byte, 30)
	if err := mustParse(t, `{"do_resize": false}`).Bytes(sum, img, 1, 5, 6); err != nil {
		t.Fatal(err)
	}
	for i, v := range sum {
		y, x := i/6, i%6
		if inside := x >= 2 && x < 4 && y >= 1 && y < 3; inside != (v == 255) || !inside && v != 0 {
			t.Errorf("pixel %d,%d is %d", y, x, v)
		}
	}
}

// FuzzDecodeImage feeds any bytes to the decoders and what comes out to the preprocessor.
func FuzzDecodeImage(f *testing.F) {
	files, err := filepath.Glob("testdata/pillow/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint8(len(name)))
	}
	f.Add(pngHeader(100, 100), uint8(0))
	var configs []Preprocessor
	for _, c := range []string{fmt.Sprintf(deitConfig, "9", "8", 3), fmt.Sprintf(deitConfig, "6", "8", 2),
		`{"size": {"height": 8, "width": 8}, "resample": 3}`, `{"size": 8, "crop_pct": 0.9}`} {
		configs = append(configs, mustParse(f, c))
	}
	f.Fuzz(func(t *testing.T, b []byte, choice uint8) {
		img, err := decodeImage("x", bytes.NewReader(b), limits{file: 1 << 16, pixels: 1 << 16, side: 1 << 12, scans: 20},
			choice&64 != 0)
		if err != nil {
			if strings.Contains(err.Error(), "panicked") {
				t.Fatal(err)
			}
			if img != nil {
				t.Fatal("both a picture and an error")
			}
			return
		}
		channels := 1 + 2*int(choice>>7)
		dst := make([]float32, channels*64)
		if err := configs[int(choice)%len(configs)].Apply(dst, img, channels, 8, 8); err != nil {
			t.Fatal(err)
		}
		for i, v := range dst {
			if !(v >= -1.01 && v <= 1.01) {
				t.Fatalf("value %d is %v", i, v)
			}
		}
		// What was decoded can be seen as a picture like any other.
		if err := png.Encode(&bytes.Buffer{}, img); err != nil {
			t.Fatal(err)
		}
	})
}
