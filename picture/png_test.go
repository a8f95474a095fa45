package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/png"
	"os"
	"slices"
	"strings"
	"testing"
)

// pngParts is a PNG file of these chunks, each a name and its data.
func pngParts(chunks ...string) []byte {
	b := []byte(pngMagic)
	for i := 0; i < len(chunks); i += 2 {
		body := chunks[i] + chunks[i+1]
		b = binary.BigEndian.AppendUint32(b, uint32(len(chunks[i+1])))
		b = append(b, body...)
		b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE([]byte(body)))
	}
	return b
}

// pngHead is an IHDR chunk's data.
func pngHead(width, height uint32, depth, kind, interlace byte) string {
	b := binary.BigEndian.AppendUint32(nil, width)
	b = binary.BigEndian.AppendUint32(b, height)
	return string(append(b, depth, kind, 0, 0, interlace))
}

// deflated is zlib's data of raw.
func deflated(t testing.TB, raw string) string {
	t.Helper()
	var b bytes.Buffer
	z, err := zlib.NewWriterLevel(&b, zlib.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPNGRefused: what Pillow does not read either, said in words.
func TestPNGRefused(t *testing.T) {
	pixels := deflated(t, "\x00a\x00b")
	whole := pngParts("IHDR", pngHead(1, 2, 8, pngGrey, 0), "IDAT", pixels)
	if _, err := Decode("x", bytes.NewReader(whole)); err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(whole)
	broken[19] ^= 1 // of the width
	for want, b := range map[string][]byte{
		"wrong checksum of chunk IHDR": broken,
		"no picture in it":             pngParts("IHDR", pngHead(1, 2, 8, pngGrey, 0), "IEND", ""),
		"no IHDR chunk":                pngParts("IDAT", pixels),
		"impossible size, depth":       pngParts("IHDR", pngHead(1, 2, 4, pngRGB, 0), "IDAT", pixels),
		"no palette":                   pngParts("PLTE", "abc", "IHDR", pngHead(1, 2, 8, pngPalette, 0), "IDAT", pixels),
		"a chunk without a name":       pngParts("IHDR", pngHead(1, 2, 8, pngGrey, 0), "\x00DAT", pixels),
		"cut short":                    whole[:len(whole)-20],
		"unknown filter":               pngParts("IHDR", pngHead(1, 2, 8, pngGrey, 0), "IDAT", deflated(t, "\x05a\x00b")),
		"a frame beyond the picture": pngParts("IHDR", pngHead(1, 2, 8, pngGrey, 0),
			"fcTL", strings.Repeat("\x00", 7)+"\x02"+strings.Repeat("\x00", 3)+"\x01"+strings.Repeat("\x00", 14),
			"IDAT", pixels),
	} {
		if _, err := Decode("x", bytes.NewReader(b)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestOrientationElsewhere: where a picture's orientation stands besides an EXIF block.
func TestOrientationElsewhere(t *testing.T) {
	const exif = "4d4d002a00000008000101120003000000010006\n00000000"
	for name, chunk := range map[string][2]string{
		"ImageMagick's text": {"tEXt", "Raw profile type exif\x00\nexif\n      26\n" + exif + "\n"},
		"XMP":                {"iTXt", "XML:com.adobe.xmp\x00\x00\x00\x00\x00<rdf tiff:Orientation=\"6\"/>"},
	} {
		b := pngParts("IHDR", pngHead(1, 2, 8, pngGrey, 0), chunk[0], chunk[1], "IDAT", deflated(t, "\x00a\x00b"))
		img, err := Decoding{Exif: ExifApply}.Image("x", bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if img.Bounds() != image.Rect(0, 0, 2, 1) {
			t.Errorf("%s: a picture of %v, want it turned", name, img.Bounds())
		}
	}
}

// TestOrientationOfJPEG: XMP counts where there is no EXIF, and not beside it.
func TestOrientationOfJPEG(t *testing.T) {
	plain, err := os.ReadFile("testdata/pillow/420.jpg")
	if err != nil {
		t.Fatal(err)
	}
	stored := mustDecode(t, "testdata/pillow/420.jpg").Bounds()
	segment := func(text string) string {
		return string(binary.BigEndian.AppendUint16([]byte{0xff, jpegAPP1}, uint16(2+len(text)))) + text
	}
	xmp := segment(jpegXMP + "<tiff:Orientation>6</tiff:Orientation>")
	upright := segment("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x01\x00\x00")
	for segments, turned := range map[string]bool{"": false, xmp: true, upright + xmp: false} {
		b := slices.Concat(plain[:2], []byte(segments), plain[2:])
		img, err := Decoding{Exif: ExifApply}.Image("x", bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if got := img.Bounds().Dx() != stored.Dx(); got != turned {
			t.Errorf("%.60q: turned %v, want %v", segments, got, turned)
		}
	}
}

// FuzzPNG decodes pictures of all kinds beside image/png, which must agree where it reads them.
func FuzzPNG(f *testing.F) {
	f.Add(uint8(9), uint8(7), uint8(8), uint8(6), true, []byte("\x04abcdefghijklmnopqrstuvwxyz"), []byte("abc"))
	f.Add(uint8(16), uint8(3), uint8(1), uint8(3), false, []byte("\x03abcdefghijklmnopqrstuvwxyz"), []byte("abcdef"))
	f.Fuzz(func(t *testing.T, w, h, depth, kind uint8, interlaced bool, raw, palette []byte) {
		w, h = w%24, h%24
		interlace := byte(0)
		if interlaced {
			interlace = 1
		}
		p := pngFile{depth: int(depth), kind: kind % 7}
		passes, need := []pngPass{{0, 0, 1, 1}}, 0 // image/png wants no byte more than there must be
		if interlaced {
			passes = pngPasses
		}
		for _, s := range passes {
			columns, rows := (int(w)-s.x+s.across-1)/s.across, (int(h)-s.y+s.down-1)/s.down
			if columns > 0 && rows > 0 {
				need += rows * (1 + (columns*p.bits()+7)/8)
			}
		}
		for i := 0; len(raw) < need; i++ { // in rows whose filters exist
			raw = append(raw, byte(i*7)%5)
		}
		raw = raw[:need]
		b := pngParts("IHDR", pngHead(uint32(w), uint32(h), depth, kind, interlace), "PLTE", string(palette),
			"IDAT", deflated(t, string(raw)), "IEND", "")
		got, err := decodeImage("x", bytes.NewReader(b), limits{file: 1 << 16, pixels: 1 << 16, side: 1 << 12}, false)
		if err != nil {
			if strings.Contains(err.Error(), "panicked") {
				t.Fatal(err)
			}
			got = nil
		}
		want, err := png.Decode(bytes.NewReader(b))
		switch {
		case err != nil:
			return
		case got == nil:
			t.Fatalf("image/png reads a picture of %v", want.Bounds())
		case depth == 16 && kind == pngGrey:
			return // Pillow's grey is cut off
		}
		for y := range got.Bounds().Dy() {
			if a, b := rgbRow(got, y), rgbRow(want, y); !bytes.Equal(a, b) {
				t.Fatalf("row %d: % x, image/png has % x", y, a, b)
			}
		}
	})
}

// FuzzPNM feeds any bytes to the parser of PBM, PGM and PPM files.
func FuzzPNM(f *testing.F) {
	f.Add([]byte("P2 3 1 # c\n255 1 2 3"))
	f.Add([]byte("P6\n1 1\n65535\nabcdef"))
	f.Add([]byte("P1\n2 2\n01#\n10"))
	f.Add([]byte("Pf 1 1 -1 abcd"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if !isPNM(b) {
			return
		}
		img, err := decodeImage("x", bytes.NewReader(b), limits{file: 1 << 16, pixels: 1 << 16, side: 1 << 12}, false)
		if err != nil {
			if strings.Contains(err.Error(), "panicked") {
				t.Fatal(err)
			}
			return
		}
		if p, err := parsePNM(b); err != nil || img.Bounds() != image.Rect(0, 0, p.width, p.height) {
			t.Fatalf("a picture of %v: %v", img.Bounds(), err)
		}
	})
}
