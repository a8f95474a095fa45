package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// sources are the image files that TestDecodeAsPillow reads.
func sources(t *testing.T) map[string][]byte {
	t.Helper()
	wants, err := filepath.Glob("testdata/pillow/*.rgb.png")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, want := range wants {
		if strings.Contains(want, "resize.") {
			continue
		}
		name := strings.TrimSuffix(want, ".rgb.png")
		if files[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) < 60 {
		t.Fatalf("only %d files", len(files))
	}
	return files
}

// TestTruncated cuts every file at every byte: an error, or a picture of the size that the header says. Half a file is
// an error, unless it is an animation, whose first picture may be whole.
func TestTruncated(t *testing.T) {
	for name, b := range sources(t) {
		whole, err := Decode(name, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		animated := strings.Contains(name, "anim") || strings.HasSuffix(name, "part.webp")
		step := 1 + len(b)/2500 // in longer files every byte of the beginning and some of the rest
		for n := 0; n < len(b); n++ {
			if n > 500 {
				n += step - 1
			}
			img, err := Decode(name, bytes.NewReader(b[:min(n, len(b)-1)]))
			switch {
			case err != nil && strings.Contains(err.Error(), "panicked"):
				t.Fatalf("%d bytes: %v", n, err)
			case err == nil && img.Bounds() != whole.Bounds():
				t.Fatalf("%s, %d bytes: picture of %v, want %v", name, n, img.Bounds(), whole.Bounds())
			case err == nil && n <= len(b)/2 && !animated:
				t.Errorf("%s: a picture of %d bytes of %d", name, n, len(b))
			}
		}
	}
}

// TestDamaged changes bytes at random.
func TestDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	small := limits{file: 1 << 20, pixels: 1 << 20, side: 1 << 14, scans: 50}
	for name, b := range sources(t) {
		for range 60 {
			damaged := slices.Clone(b)
			for range 1 + rng.IntN(4) {
				at := rng.IntN(len(b))
				if rng.IntN(2) == 0 {
					at = rng.IntN(min(len(b), 200)) // headers matter most
				}
				damaged[at] = byte(rng.Uint32())
			}
			if _, err := decodeImage("x", bytes.NewReader(damaged), small, true); err != nil &&
				strings.Contains(err.Error(), "panicked") {
				path := filepath.Join(os.TempDir(), "damaged"+filepath.Ext(name))
				os.WriteFile(path, damaged, 0o666)
				t.Fatalf("%s, kept as %s: %v", name, path, err)
			}
		}
	}
}

// TestBombs gives small files that ask for much. Each must end in time, with an error where want says one, and within a
// bound of memory.
func TestBombs(t *testing.T) {
	progressive, err := os.ReadFile("testdata/pillow/progressive.jpg")
	if err != nil {
		t.Fatal(err)
	}
	sos := bytes.LastIndex(progressive, []byte{0xff, jpegSOS})
	scan, end := progressive[sos:len(progressive)-2], progressive[len(progressive)-2:]
	gif := func(w, h uint16) []byte { // 34 bytes
		b := binary.LittleEndian.AppendUint16([]byte("GIF89a"), w)
		b = binary.LittleEndian.AppendUint16(b, h)
		b = append(b, "\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00"...)
		b = binary.LittleEndian.AppendUint16(b, w)
		b = binary.LittleEndian.AppendUint16(b, h)
		return append(b, "\x00\x02\x01\x44\x00;"...)[:34]
	}
	sized := func(name string, w, h uint16) []byte { // a JPEG whose frame says another size
		b, err := os.ReadFile("testdata/pillow/" + name)
		if err != nil {
			t.Fatal(err)
		}
		i := max(bytes.Index(b, []byte{0xff, jpegSOF0}), bytes.Index(b, []byte{0xff, jpegSOF2}))
		binary.BigEndian.PutUint16(b[i+5:], h)
		binary.BigEndian.PutUint16(b[i+7:], w)
		return b
	}
	shared := tiffBomb(8, 1000, 1, tiffRaw) // strips that all lie over one another
	for range 2000 {
		shared = binary.LittleEndian.AppendUint32(shared, 8)
	}
	for i, field := range [][2]uint32{5: {1000, 126}, 7: {1000, 4126}} { // all offsets are 8; the counts are set below
		if field[0] > 0 {
			binary.LittleEndian.PutUint32(shared[10+12*i+4:], field[0])
			binary.LittleEndian.PutUint32(shared[10+12*i+8:], field[1])
		}
	}
	for i := range 1000 {
		binary.LittleEndian.PutUint32(shared[4126+4*i:], 4000)
	}
	for _, c := range []struct {
		name string
		file []byte
		want string // in the error; "" if a picture comes out
	}{
		{"GIF of 65535²", gif(65535, 65535), "the limit is"},
		{"GIF of 9000²", gif(9000, 9000), "cut short"},
		{"PNG whose data is 100 MB too long", zlibBomb(t, false), ""},
		{"PNG with 100 MB of text", zlibBomb(t, true), ""},
		{"PNG of 20000×5000 without data", pngHeader(20000, 5000), "cut short"},
		{"JPEG of 65535²", sized("420.jpg", 65535, 65535), "the limit is"},
		{"JPEG of 9000²", sized("420.jpg", 9000, 9000), "cut short"},
		{"progressive JPEG of 9000²", sized("progressive.jpg", 9000, 9000), "cut short"},
		{"JPEG of 300 scans", slices.Concat(progressive[:sos], bytes.Repeat(scan, 300), end), "more than 200 scans"},
		{"TIFF of 10000²", tiffBomb(10000, 10000, 1, tiffDeflate), "cut short"},
		{"TIFF of 2³⁰ strips", tiffBomb(1, 1<<30, 1, tiffRaw), "the limit is"},
		{"TIFF of 10⁶ rows without strips", tiffBomb(1, 1_000_000, 1, tiffLZW), "cut short"},
		{"TIFF whose strips share their data", shared, "overlap"},
		{"TIFF in CCITT of 8000²", tiffBomb(8000, 8000, 8000, tiffCCITT4), "tiff"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		_, err := Decode("bomb", bytes.NewReader(c.file))
		took := time.Since(begin)
		runtime.ReadMemStats(&after)
		if c.want == "" && err != nil || c.want != "" &&
			(err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "bomb: ")) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 100 || took > 5*time.Second {
			t.Errorf("%s (%d bytes): took %d MiB and %v", c.name, len(c.file), got, took)
		}
	}
}

// zlibBomb is an 8×8 PNG with 100 MB of zeros behind its pixels, or before them in a text.
func zlibBomb(t *testing.T, text bool) []byte {
	t.Helper()
	deflate := func(n int) []byte {
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		zeros := make([]byte, 1<<16)
		for ; n > 0; n -= len(zeros) {
			if _, err := z.Write(zeros[:min(n, len(zeros))]); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	chunk := func(kind string, data []byte) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
		b = append(append(b, kind...), data...)
		return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
	}
	pixels, extra := 100_000_000, []byte(nil)
	if text {
		pixels, extra = 8*9, chunk("zTXt", append([]byte("a\x00\x00"), deflate(100_000_000)...))
	}
	return slices.Concat([]byte(pngMagic), chunk("IHDR", []byte{0, 0, 0, 8, 0, 0, 0, 8, 8, 0, 0, 0, 0}), extra,
		chunk("IDAT", deflate(pixels)), chunk("IEND", nil))
}

// tiffBomb is a bilevel TIFF file of that size and hardly any data.
func tiffBomb(width, height, rows, compression uint32) []byte {
	b := []byte("II*\x00\x08\x00\x00\x00\x08\x00")
	for _, e := range [][2]uint32{
		{tiffWidth, width}, {tiffHeight, height}, {tiffBits, 1},
		{tiffCompression, compression}, {tiffPhotometric, 1}, {tiffStripOffsets, 8},
		{tiffRowsPerStrip, rows}, {tiffStripCounts, 100},
	} {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = append(b, 4, 0, 1, 0, 0, 0)
		b = binary.LittleEndian.AppendUint32(b, e[1])
	}
	return append(b, make([]byte, 20)...)
}

// TestStrips: pictures of one pixel's width or height.
func TestStrips(t *testing.T) {
	for _, size := range []image.Point{{1, 20000}, {20000, 1}, {1, 1}, {2, 3000}} {
		img := image.NewGray(image.Rectangle{Max: size})
		for i := range img.Pix {
			img.Pix[i] = 77
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		got, err := Decode("strip.png", &b)
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]byte, 3*224*224)
		for config, tooLong := range map[string]bool{
			fmt.Sprintf(deitConfig, "256", "224", 3):                      size.X*size.Y == 20000,
			`{"size": {"height": 224, "width": 224}, "resample": 2}`:      false,
			`{"size": 224, "crop_pct": 0.875, "resample": 2}`:             size.X*size.Y == 20000,
			`{"do_resize": false, "do_center_crop": true, "resample": 3}`: false,
		} {
			err := mustParse(t, config).Bytes(dst, got, 3, 224, 224)
			if tooLong != (err != nil) || err != nil &&
				!strings.Contains(err.Error(), "would be resized to more than") {
				t.Errorf("%v with %s: error %v", size, config, err)
			}
			if err == nil && dst[111*224+111] != 77 {
				t.Errorf("%v with %s: %d in the middle, want 77", size, config, dst[111*224+111])
			}
		}
	}
}
