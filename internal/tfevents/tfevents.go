// Package tfevents writes the event files that TensorBoard reads: scalars, histograms and pictures over the steps of a
// run. A run that goes on after a crash cuts off what its earlier files say of steps that it will do again.
package tfevents

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Writer writes a run's figures and pictures. A value has a tag, whose part before a slash groups it with
// others ("loss/prior"), and a step, the axis on which TensorBoard draws it; steps must not go down.
//
// The first error is kept: later values are dropped, and Flush, Sync and Close return it. Not safe for concurrent use.
type Writer struct {
	file   *os.File
	buffer *bufio.Writer
	record []byte
	err    error
}

// An event file's name has the time between these. TensorBoard takes any with "tfevents", in the order of their names.
const filePrefix, fileSuffix = "events.out.tfevents.", ".adavit"

// Open starts an event file in dir, which it makes if it must, for a run that goes on after the given step,
// or begins (step 0, or -1 where step 0 itself is still to come). What earlier event files of such a run say
// of later steps is cut off them, as is a record that was not written to its end: the run will say it again.
// Files of other programs are left alone.
//
// A new file is begun each time, since a TensorBoard that is looking on has its place in the old one.
func Open(dir string, step int64) (w *Writer, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("tfevents: %w", err)
		}
	}()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	old, last, err := eventFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range old {
		if err := cutFile(filepath.Join(dir, name), step); err != nil {
			return nil, err
		}
	}
	// Names have a second's time in them, and a run may begin twice in one.
	name := fmt.Sprintf("%s%010d%s", filePrefix, max(time.Now().Unix(), last+1), fileSuffix)
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	w = &Writer{file: f, buffer: bufio.NewWriter(f)}
	w.put(versionEvent())
	if w.Flush() != nil { // a full disk is noticed here
		return nil, errors.Join(w.err, f.Close(), os.Remove(f.Name()))
	}
	return w, nil
}

// eventFiles lists the files of dir that Open made, in the order of their times, and the time of the last one.
func eventFiles(dir string) (names []string, last int64, err error) {
	entries, err := os.ReadDir(dir) // sorted by name
	for _, entry := range entries {
		digits, ok := strings.CutPrefix(entry.Name(), filePrefix)
		digits, mine := strings.CutSuffix(digits, fileSuffix)
		at, err := strconv.ParseUint(digits, 10, 62)
		if ok && mine && err == nil && len(digits) == 10 && entry.Type().IsRegular() {
			names, last = append(names, entry.Name()), max(last, int64(at))
		}
	}
	return names, last, err
}

// cutFile shortens an event file to the records before the first one of a step beyond step, or before the
// first that is damaged. A file in which nothing but its version is left is removed.
func cutFile(path string, step int64) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := bufio.NewReader(f)
	var end int64
	kept := 0
	for {
		content, err := readRecord(r)
		if errors.Is(err, io.EOF) || errors.Is(err, errRecord) {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		at, values, err := readEvent(content)
		if err != nil || at > step && values {
			break
		}
		if values {
			kept++
		}
		end += int64(len(content)) + recordHead + recordTail
	}
	if kept == 0 {
		return os.Remove(path)
	}
	return f.Truncate(end)
}

// put writes an event.
func (w *Writer) put(event []byte) {
	if w.err != nil {
		return
	}
	w.record = appendRecord(w.record[:0], event)
	_, w.err = w.buffer.Write(w.record)
}

// Scalar adds a figure. TensorBoard shows one that is not finite as a gap.
func (w *Writer) Scalar(step int64, tag string, value float64) {
	w.put(valueEvent(step, scalarValue(tag, float32(value))))
}

// Histogram adds the distribution of the finite values in buckets of equal width from the smallest to the largest.
func (w *Writer) Histogram(step int64, tag string, values []float64, buckets int) {
	w.put(valueEvent(step, histogramValue(tag, histogramOf(values, buckets))))
}

const maxPixels = 1 << 23 // of a picture, so that its record can be read again

// Image adds a picture of at most 8 Mi pixels, stored as PNG.
func (w *Writer) Image(step int64, tag string, img image.Image) {
	size := img.Bounds().Size()
	var b bytes.Buffer
	var err error
	if size.X <= 0 || size.Y <= 0 || size.X > maxPixels/size.Y {
		err = fmt.Errorf("a picture of %d×%d pixels", size.X, size.Y)
	} else {
		e := png.Encoder{CompressionLevel: png.BestCompression}
		err = e.Encode(&b, img)
	}
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("%s: %w", tag, err)
	}
	w.put(valueEvent(step, imageValue(tag, size, b.Bytes())))
}

// Flush hands what was added to the operating system, so that whoever looks on sees it.
func (w *Writer) Flush() error {
	if w.err == nil {
		w.err = w.buffer.Flush()
	}
	return w.named()
}

// Sync is Flush, and waits until all is on the disk.
func (w *Writer) Sync() error {
	if w.Flush() == nil {
		w.err = w.file.Sync()
	}
	return w.named()
}

// Close is Flush, and ends the file. Closing twice does nothing.
func (w *Writer) Close() error {
	if errors.Is(w.err, os.ErrClosed) {
		return nil
	}
	err := errors.Join(w.Flush(), w.file.Close())
	w.err = os.ErrClosed
	return err
}

// named is the first error with the file's name.
func (w *Writer) named() error {
	if w.err == nil {
		return nil
	}
	return fmt.Errorf("tfevents: %s: %w", w.file.Name(), w.err)
}
