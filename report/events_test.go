package report

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// value is one value of an event file as readEvents finds it.
type value struct {
	step            int64
	tag, kind       string // kind: version, scalar, image, histogram, text
	number          float64
	text            string
	width, height   int64
	picture         []byte
	limits, buckets []float64
	stats           [5]float64 // of a histogram: min, max, num, sum, sum of squares
}

// readEvents is a reader of event files that shares nothing with the writer: lengths, checksums and protobuf fields are taken apart here as
// the formats' own descriptions have them. It returns the records before the first that is cut off, and fails the test at one that is wrong.
func readEvents(t *testing.T, path string) (out []value) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	table := crc32.MakeTable(0x82f63b78) // Castagnoli, reversed
	sum := func(b []byte) uint32 {
		c := crc32.Checksum(b, table)
		return ((c >> 15) | (c << 17)) + 2726488792
	}
	for len(b) >= 12 {
		n := binary.LittleEndian.Uint64(b)
		if sum(b[:8]) != binary.LittleEndian.Uint32(b[8:]) {
			t.Fatalf("%s: checksum of a length", path)
		}
		if uint64(len(b)) < 16+n {
			return out
		}
		content := b[12 : 12+n]
		if sum(content) != binary.LittleEndian.Uint32(b[12+n:]) {
			t.Fatalf("%s: checksum of a record", path)
		}
		out = append(out, readValue(t, content))
		b = b[16+n:]
	}
	return out
}

// fields takes a protobuf message apart. Numbers are in v, bytes in b.
func fields(t *testing.T, m []byte, f func(number int, v uint64, b []byte)) {
	t.Helper()
	for len(m) > 0 {
		key, n := binary.Uvarint(m)
		if n <= 0 {
			t.Fatal("a key")
		}
		m = m[n:]
		switch key & 7 {
		case 0:
			v, n := binary.Uvarint(m)
			if n <= 0 {
				t.Fatal("a number")
			}
			f(int(key>>3), v, nil)
			m = m[n:]
		case 1:
			f(int(key>>3), binary.LittleEndian.Uint64(m), nil)
			m = m[8:]
		case 2:
			size, n := binary.Uvarint(m)
			if n <= 0 || size > uint64(len(m)-n) {
				t.Fatal("a length")
			}
			f(int(key>>3), 0, m[n:n+int(size)])
			m = m[n+int(size):]
		case 5:
			f(int(key>>3), uint64(binary.LittleEndian.Uint32(m)), nil)
			m = m[4:]
		default:
			t.Fatalf("wire type %d", key&7)
		}
	}
}

func readValue(t *testing.T, event []byte) (v value) {
	t.Helper()
	time := 0.0
	fields(t, event, func(number int, n uint64, b []byte) {
		switch number {
		case 1:
			time = math.Float64frombits(n)
		case 2:
			v.step = int64(n)
		case 3:
			v.kind, v.text = "version", string(b)
		case 5:
			fields(t, b, func(number int, _ uint64, b []byte) {
				if number == 1 {
					readSummary(t, b, &v)
				}
			})
		default:
			t.Fatalf("an event's field %d", number)
		}
	})
	if time < 1.6e9 || time > 1e10 {
		t.Fatalf("an event's time is %v", time)
	}
	return v
}

func readSummary(t *testing.T, b []byte, v *value) {
	t.Helper()
	plugin := ""
	fields(t, b, func(number int, n uint64, b []byte) {
		switch number {
		case 1:
			v.tag = string(b)
		case 2:
			v.kind, v.number = "scalar", float64(math.Float32frombits(uint32(n)))
		case 4:
			v.kind = "image"
			fields(t, b, func(number int, n uint64, b []byte) {
				switch number {
				case 1:
					v.height = int64(n)
				case 2:
					v.width = int64(n)
				case 4:
					v.picture = b
				}
			})
		case 5:
			v.kind = "histogram"
			doubles := func(b []byte) (out []float64) {
				for ; len(b) > 0; b = b[8:] {
					out = append(out, math.Float64frombits(binary.LittleEndian.Uint64(b)))
				}
				return out
			}
			fields(t, b, func(number int, n uint64, b []byte) {
				switch number {
				case 1, 2, 3, 4, 5:
					v.stats[number-1] = math.Float64frombits(n)
				case 6:
					v.limits = doubles(b)
				case 7:
					v.buckets = doubles(b)
				}
			})
		case 8:
			v.kind = "text"
			fields(t, b, func(number int, n uint64, b []byte) {
				if number == 1 && n != 7 {
					t.Errorf("a text's tensor has type %d", n)
				}
				if number == 8 {
					v.text = string(b)
				}
			})
		case 9:
			fields(t, b, func(number int, _ uint64, b []byte) {
				fields(t, b, func(number int, _ uint64, b []byte) { plugin = string(b) })
			})
		default:
			t.Fatalf("a value's field %d", number)
		}
	})
	if (v.kind == "text") != (plugin == "text") {
		t.Errorf("%s %q is for plugin %q", v.kind, v.tag, plugin)
	}
}

// readFolder reads all event files of a folder in the order of their names, and leaves out their versions.
func readFolder(t *testing.T, dir string) (out []value) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		found := readEvents(t, path)
		if len(found) == 0 || found[0].kind != "version" || found[0].text != "brain.Event:2" {
			t.Errorf("%s does not begin with its version: %+v", path, found)
			continue
		}
		out = append(out, found[1:]...)
	}
	return out
}

// open opens the events of dir and closes them when the test is over.
func open(t *testing.T, dir string, step int64) *Events {
	t.Helper()
	e, err := OpenEvents(dir, step)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestEventsReadBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "tensorboard")
	e := open(t, dir, 0)
	img := image.NewRGBA(image.Rect(0, 0, 3, 2))
	img.SetRGBA(2, 1, color.RGBA{10, 20, 30, 255})
	e.Scalar(1, "loss/total", 2.5)
	e.Scalar(1<<40, "loss/total", math.NaN())
	e.Image(1<<40, "depth", img)
	e.Histogram(1<<40, "depths", Histogram{Min: 1, Max: 4, Sum: 9, SumSquares: 25, Limits: []float64{1, 2, 4}, Counts: []float64{2, 0, 2}})
	e.Text(1<<40, "bad\xfftag", "**bold** ünï\xff")
	if err := e.Sync(); err != nil {
		t.Fatal(err)
	}
	got := readFolder(t, dir)
	if len(got) != 5 {
		t.Fatalf("%d values: %+v", len(got), got)
	}
	if v := got[0]; v.kind != "scalar" || v.tag != "loss/total" || v.step != 1 || v.number != 2.5 {
		t.Errorf("scalar: %+v", v)
	}
	if v := got[1]; v.kind != "scalar" || v.step != 1<<40 || !math.IsNaN(v.number) {
		t.Errorf("scalar that is not a number: %+v", v)
	}
	if v := got[2]; v.kind != "image" || v.tag != "depth" || v.width != 3 || v.height != 2 {
		t.Errorf("image: %+v", v)
	} else if p, err := png.Decode(bytes.NewReader(v.picture)); err != nil || color.RGBAModel.Convert(p.At(2, 1)) != (color.RGBA{10, 20, 30, 255}) {
		t.Errorf("image's pixels: %v", err)
	}
	if v := got[3]; v.kind != "histogram" || v.stats != [5]float64{1, 4, 4, 9, 25} || !slices.Equal(v.limits, []float64{1, 2, 4}) || !slices.Equal(v.buckets, []float64{2, 0, 2}) {
		t.Errorf("histogram: %+v", v)
	}
	if v := got[4]; v.kind != "text" || v.tag != "bad\ufffdtag" || v.text != "**bold** ünï\ufffd" {
		t.Errorf("text: %+v", v)
	}
}

// TestEventsGoOn stops a run at several places and goes on from an earlier step, as after a crash: each step is there once.
func TestEventsGoOn(t *testing.T) {
	dir := t.TempDir()
	write := func(e *Events, from, to int64) {
		for s := from; s <= to; s++ {
			e.Scalar(s, "loss", float64(s))
			e.Scalar(s, "depth", -float64(s))
		}
	}
	e := open(t, dir, 0)
	write(e, 1, 20)
	if err := e.Flush(); err != nil { // killed: never closed
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "events.out.tfevents.0000000001.host.1.0")
	junk := []byte("somebody else's")
	if err := os.WriteFile(foreign, junk, 0o666); err != nil {
		t.Fatal(err)
	}
	e = open(t, dir, 12)
	write(e, 13, 15)
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	e = open(t, dir, 10) // its checkpoint was torn: from the one before
	write(e, 11, 18)
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	files, _, err := eventFiles(dir)
	if err != nil || len(files) != 2 {
		t.Fatalf("files %v, %v: what holds nothing any more should be gone", files, err)
	}
	// A last record that was written in part.
	newest := filepath.Join(dir, files[1])
	b, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(newest, b[:len(b)-3], 0o666); err != nil {
		t.Fatal(err)
	}
	e = open(t, dir, 17)
	write(e, 18, 19)
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(foreign); err != nil || !bytes.Equal(b, junk) {
		t.Errorf("another program's file was changed: %q, %v", b, err)
	}
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	var steps []int64
	for _, v := range readFolder(t, dir) {
		if v.tag == "loss" {
			if v.number != float64(v.step) {
				t.Errorf("step %d: %v", v.step, v.number)
			}
			steps = append(steps, v.step)
		}
	}
	want := []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}
	if !slices.Equal(steps, want) {
		t.Errorf("steps %v, want %v", steps, want)
	}
}

// TestEventsDamaged damages a file at each of its bytes: what lies before the record in question survives, and nothing after it.
func TestEventsDamaged(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir, 0)
	for s := range int64(5) {
		e.Scalar(s, "a", float64(s))
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	files, _, err := eventFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, files[0]))
	if err != nil {
		t.Fatal(err)
	}
	var ends []int // of records
	for at := 0; at < len(whole); {
		at += int(binary.LittleEndian.Uint64(whole[at:])) + recordHead + recordTail
		ends = append(ends, at)
	}
	path := filepath.Join(t.TempDir(), files[0])
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 0x10
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := cutEvents(path, 100); err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
		record, _ := slices.BinarySearch(ends, i+1)
		got, err := os.ReadFile(path)
		if record <= 1 { // nothing but the version is left
			if !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("byte %d: a file without events is still there", i)
			}
			continue
		}
		if err != nil || !bytes.Equal(got, whole[:ends[record-1]]) {
			t.Fatalf("byte %d: %d bytes are left, want %d (%v)", i, len(got), ends[record-1], err)
		}
	}
}

func TestEventsErrors(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenEvents(filepath.Join(dir, "file"), 0); err == nil {
		t.Error("a file in place of the folder is no error")
	}
	for name, add := range map[string]func(*Events){
		"empty picture": func(e *Events) { e.Image(1, "a", image.NewRGBA(image.Rectangle{})) },
		"huge picture":  func(e *Events) { e.Image(1, "a", huge{}) },
		"histogram":     func(e *Events) { e.Histogram(1, "a", Histogram{Limits: []float64{2, 1}, Counts: []float64{0, 0}}) },
		"counts":        func(e *Events) { e.Histogram(1, "a", Histogram{Limits: []float64{2}, Counts: []float64{math.NaN()}}) },
		"no limits":     func(e *Events) { e.Histogram(1, "a", Histogram{}) },
		"long text":     func(e *Events) { e.Text(1, "a", strings.Repeat("x", maxText+1)) },
	} {
		e, err := OpenEvents(filepath.Join(dir, name), 0)
		if err != nil {
			t.Fatal(err)
		}
		add(e)
		e.Scalar(2, "later", 1)
		first := e.Flush()
		if second := e.Close(); first == nil || second == nil {
			t.Errorf("%s: errors %v, %v", name, first, second)
		}
		if err := e.Close(); err != nil {
			t.Errorf("%s: closing twice: %v", name, err)
		}
		if got := readFolder(t, filepath.Join(dir, name)); len(got) != 0 {
			t.Errorf("%s: values after an error: %+v", name, got)
		}
	}
	if full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0); err == nil {
		e := &Events{file: full, buffer: bufio.NewWriter(full), now: time.Now}
		e.Scalar(1, "a", 1)
		if err := e.Flush(); err == nil {
			t.Error("a full disk is no error")
		}
		e.Close()
	}
}

// huge is a picture of more pixels than memory.
type huge struct{}

func (huge) ColorModel() color.Model { return color.GrayModel }
func (huge) Bounds() image.Rectangle { return image.Rect(0, 0, 1<<20, 1<<20) }
func (huge) At(x, y int) color.Color { return color.Gray{} }

func TestHistogramOf(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		values         []float64
		buckets        int
		limits, counts []float64
	}{
		{[]float64{0, 1, 2, 3, 4, nan, inf}, 4, []float64{1, 2, 3, 4}, []float64{2, 1, 1, 1}},
		{[]float64{7, 7}, 10, []float64{7}, []float64{2}},
		{[]float64{-1, 1}, 0, []float64{1}, []float64{2}},
		{nil, 3, []float64{0}, []float64{0}},
		{[]float64{-math.MaxFloat64, math.MaxFloat64}, 3, []float64{math.MaxFloat64}, []float64{2}},
		{[]float64{1, math.Nextafter(1, 2)}, 3, nil, []float64{1, 1}},
	} {
		h := HistogramOf(c.values, c.buckets)
		if err := h.Validate(); err != nil {
			t.Errorf("%v: %v", c.values, err)
		}
		if c.limits != nil && !slices.Equal(h.Limits, c.limits) || !slices.Equal(h.Counts, c.counts) {
			t.Errorf("%v in %d: limits %v, counts %v, want %v, %v", c.values, c.buckets, h.Limits, h.Counts, c.limits, c.counts)
		}
	}
	h := HistogramOf([]float64{1, 2, 4}, 2)
	if h.Min != 1 || h.Max != 4 || h.Sum != 7 || h.SumSquares != 21 {
		t.Errorf("%+v", h)
	}
}

// FuzzEvents reads any bytes as an event file: what is cut off one leaves a file that is read to its end.
func FuzzEvents(f *testing.F) {
	sound := appendRecord(nil, appendVersion(nil, 1.7e9))
	for s := range int64(3) {
		sound = appendRecord(sound, appendEvent(nil, 1.7e9, s, scalarValue("a", 1)))
	}
	f.Add(sound, int64(1))
	f.Add(sound[:len(sound)-5], int64(9))
	f.Add(appendRecord(nil, []byte{0x2a, 0xff}), int64(0))
	f.Add(binary.LittleEndian.AppendUint32([]byte{255, 255, 255, 3, 0, 0, 0, 0}, maskedCRC([]byte{255, 255, 255, 3, 0, 0, 0, 0})), int64(0))
	path := filepath.Join(f.TempDir(), "events")
	f.Fuzz(func(t *testing.T, b []byte, step int64) {
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := cutEvents(path, step); err != nil {
			t.Fatal(err)
		}
		left, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return
		}
		if err != nil || !bytes.HasPrefix(b, left) {
			t.Fatalf("%d bytes are no beginning of the file (%v)", len(left), err)
		}
		r := bufio.NewReader(bytes.NewReader(left))
		for {
			content, err := readRecord(r, nil)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if at, values, err := readEvent(content); err != nil || values && at > step {
				t.Fatalf("an event of step %d is left, %v", at, err)
			}
		}
	})
}
