package tfevents

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// open opens the events of dir and closes them when the test is over.
func open(t *testing.T, dir string, step int64) *Writer {
	t.Helper()
	e, err := Open(dir, step)
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
	e.Histogram(1<<40, "depths", []float64{1, 2, 2, 4, math.NaN()}, 3)
	e.Scalar(1<<40, "bad\xfftag ünï", 1)
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
	} else if p, err := png.Decode(bytes.NewReader(v.picture)); err != nil ||
		color.RGBAModel.Convert(p.At(2, 1)) != (color.RGBA{10, 20, 30, 255}) {
		t.Errorf("image's pixels: %v", err)
	}
	v := got[3]
	if v.kind != "histogram" || v.stats != [5]float64{1, 4, 4, 9, 25} ||
		!slices.Equal(v.limits, []float64{2, 3, 4}) || !slices.Equal(v.buckets, []float64{3, 0, 1}) {
		t.Errorf("histogram: %+v", v)
	}
	if v := got[4]; v.kind != "scalar" || v.tag != "bad\ufffdtag ünï" || v.number != 1 {
		t.Errorf("scalar with a bad tag: %+v", v)
	}
}

// TestEventsGoOn stops a run at several places and goes on from an earlier step, as after a crash: each step
// is there once.
func TestEventsGoOn(t *testing.T) {
	dir := t.TempDir()
	write := func(e *Writer, from, to int64) {
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

// TestEventsDamaged damages a file at each of its bytes: what lies before the record in question survives,
// and nothing after it.
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
		if err := cutFile(path, 100); err != nil {
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
	if _, err := Open(filepath.Join(dir, "file"), 0); err == nil {
		t.Error("a file in place of the folder is no error")
	}
	for name, add := range map[string]func(*Writer){
		"empty picture": func(e *Writer) { e.Image(1, "a", image.NewRGBA(image.Rectangle{})) },
		"huge picture":  func(e *Writer) { e.Image(1, "a", huge{}) },
	} {
		e, err := Open(filepath.Join(dir, name), 0)
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
		e := &Writer{file: full, buffer: bufio.NewWriter(full)}
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
		h := histogramOf(c.values, c.buckets)
		rising := slices.Compact(slices.Sorted(slices.Values(h.limits)))
		if len(h.limits) != len(h.counts) || !slices.Equal(h.limits, rising) {
			t.Errorf("%v: %d counts, limits %v do not rise", c.values, len(h.counts), h.limits)
		}
		if c.limits != nil && !slices.Equal(h.limits, c.limits) || !slices.Equal(h.counts, c.counts) {
			t.Errorf("%v in %d: limits %v, counts %v, want %v, %v", c.values, c.buckets, h.limits, h.counts, c.limits, c.counts)
		}
	}
	h := histogramOf([]float64{1, 2, 4}, 2)
	if h.min != 1 || h.max != 4 || h.sum != 7 || h.sumSquares != 21 {
		t.Errorf("%+v", h)
	}
}

// FuzzEvents reads any bytes as an event file: what is cut off one leaves a file that is read to its end.
func FuzzEvents(f *testing.F) {
	sound := appendRecord(nil, versionEvent())
	for s := range int64(3) {
		sound = appendRecord(sound, valueEvent(s, scalarValue("a", 1)))
	}
	f.Add(sound, int64(1))
	f.Add(sound[:len(sound)-5], int64(9))
	f.Add(appendRecord(nil, []byte{0x2a, 0xff}), int64(0))
	long := []byte{255, 255, 255, 3, 0, 0, 0, 0}
	f.Add(binary.LittleEndian.AppendUint32(long, maskedCRC(long)), int64(0))
	path := filepath.Join(f.TempDir(), "events")
	f.Fuzz(func(t *testing.T, b []byte, step int64) {
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := cutFile(path, step); err != nil {
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
			content, err := readRecord(r)
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
