package picture

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLabRGB compares every fifth value of L*, a* and b* with what Pillow 13.0.0 makes of them.
func TestLabRGB(t *testing.T) {
	h := sha256.New()
	for l := 0; l < 256; l += 5 {
		for a := 0; a < 256; a += 5 {
			for b := 0; b < 256; b += 5 {
				rgb := labRGB(byte(l), byte(a), byte(b))
				h.Write(rgb[:])
			}
		}
	}
	const want = "6c973ac500dd38ac3c00e0ef5391c8b212a5e5d9a05ead37e6024a649f9184ee"
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("other colours than Pillow's: their digest is %s", got)
	}
}

// setTIFF changes the value of a tag with one number, or two that stand in its entry, where there is that tag.
func setTIFF(b []byte, tag uint16, value uint32) (found bool) {
	d, _ := readTIFFDirectory(b)
	for e := range slices.Chunk(d.entries, d.size) {
		p := e[8:]
		if d.big {
			p = e[12:]
		}
		switch wide := d.order.Uint16(e[2:]) == 4 || value > 1<<16; {
		case d.order.Uint16(e) != tag:
			continue
		case wide:
			d.order.PutUint32(p, value)
		default:
			d.order.PutUint16(p, uint16(value))
		}
		found = true
	}
	return found
}

// TestTIFFRefused changes fields of files that are read: what cannot be read is named, or what is wrong with it.
func TestTIFFRefused(t *testing.T) {
	for _, c := range []struct {
		file  string
		tag   uint16
		value uint32
		want  string
	}{
		{"lzw.tif", tiffCompression, 50001, "compression 50001 (WebP) is not supported"},
		{"lzw.tif", tiffCompression, 34661, "compression 34661 (JBIG) is not supported"},
		{"lzw.tif", tiffCompression, 777, "compression 777 is not supported"},
		{"lzw.tif", tiffPhotometric, 32803, "colour model 32803 (a camera's raw pixels) is not supported"},
		{"big.tif", tiffPredictor, 3, "predictor 3 of 8 bits is not supported"},
		{"rle.tif", tiffCompression, 32771, "(CCITT rows of whole words) is not supported"},
		{"rle.tif", tiffCompression, tiffCCITT4, "damaged fax codes"},
		{"grey12.tif", tiffPhotometric, tiffWhiteIsZero, "1 samples of 12 bits in colour model 0 are not supported"},
		{"lzma.tif", tiffStripOffsets, 9, "no xz file"},
		{"zstd.tif", tiffStripOffsets, 9, "magic"},
		{"ycc_raw.tif", tiffYCbCrSampling, 2 | 2<<16, "chroma for 2×2 pixels"},
		{"oldjpeg.tif", tiffOldFile, 0, "without their tables"},
		{"oldjpeg_parts.tif", tiffOldProcess, 14, "without loss"},
	} {
		b, err := os.ReadFile("testdata/pillow/" + c.file)
		if err != nil {
			t.Fatal(err)
		}
		if !setTIFF(b, c.tag, c.value) {
			t.Fatalf("%s has no tag %d", c.file, c.tag)
		}
		if _, err := Decode("x.tif", bytes.NewReader(b)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with tag %d = %d: error %v, want %q", c.file, c.tag, c.value, err, c.want)
		}
	}
}

// TestBigTIFFCounts: numbers of 64 bits that no file can mean are errors or pass for absent.
func TestBigTIFFCounts(t *testing.T) {
	whole, err := os.ReadFile("testdata/pillow/big.tif")
	if err != nil {
		t.Fatal(err)
	}
	at := int(binary.LittleEndian.Uint64(whole[8:]))
	for place := range at + 8 + 20*int(binary.LittleEndian.Uint64(whole[at:])) - 8 {
		if place >= 16 && place < at {
			continue // pixels
		}
		for _, v := range []uint64{1<<64 - 1, 1 << 63, 1 << 61, uint64(len(whole)) - 1} {
			b := slices.Clone(whole)
			binary.LittleEndian.PutUint64(b[place:], v)
			if _, err := Decode("x", bytes.NewReader(b)); err != nil && strings.Contains(err.Error(), "panicked") {
				t.Fatalf("%d at %d: %v", v, place, err)
			}
		}
	}
}

// FuzzTIFF decodes pages of all kinds, and what stands in their blocks as each of the compressions.
func FuzzTIFF(f *testing.F) {
	files, err := filepath.Glob("testdata/pillow/*.tif")
	if err != nil || len(files) < 25 {
		f.Fatal(len(files), err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint16(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, compression uint16) {
		most := limits{file: 1 << 16, pixels: 1 << 16, side: 1 << 12, scans: 20}
		if b = slices.Clone(b); compression > 0 && isTIFF(b) {
			setTIFF(b, tiffCompression, uint32(compression))
		}
		if _, err := decodeImage("x", bytes.NewReader(b), most, false); err != nil &&
			strings.Contains(err.Error(), "panicked") {
			t.Fatal(err)
		}
	})
}

// FuzzFax reads any bytes as fax codes of each kind: rows of the width, and an error where the codes make none.
func FuzzFax(f *testing.F) {
	f.Add([]byte("\x00\x13\x54\x3a\x00\x10\x01"), uint16(150), uint8(0))
	f.Add([]byte("\x26\xa1\xb2\xfe\x00\x10\x01"), uint16(9), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, width uint16, way uint8) {
		w, rows := int(width%3000)+1, 9
		dst := bytes.Repeat([]byte{0xaa}, (w+7)/8*rows+1)
		if err := unfax(dst[:len(dst)-1], b, w, rows, faxWay(way%4)); err == nil && w%8 > 0 && faxWay(way%4) != fax4 {
			for y := range rows {
				if last := dst[(y+1)*((w+7)/8)-1]; last<<(w%8) != 0 {
					t.Fatalf("row %d of %d pixels ends with %08b", y, w, last)
				}
			}
		}
		if dst[len(dst)-1] != 0xaa {
			t.Fatal("a byte behind the rows has changed")
		}
	})
}
