package report

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Events writes a run's figures and pictures where TensorBoard finds them. A value has a tag, whose part before a slash groups it with others
// ("loss/prior"), and a step, the axis on which TensorBoard draws it; steps must not go down.
//
// The first error is kept: later values are dropped, and Flush, Sync and Close return it. The methods are not safe to call at the same time.
type Events struct {
	file   *os.File
	buffer *bufio.Writer
	record []byte
	now    func() time.Time
	err    error
}

// eventsPrefix and eventsSuffix enclose the time in the name of an event file; TensorBoard takes any name with "tfevents" in it and reads the
// files of a folder in the order of their names.
const (
	eventsPrefix = "events.out.tfevents."
	eventsSuffix = ".adavit"
)

// OpenEvents starts an event file in dir, which it makes if it must, for a run that goes on after the given step, or begins (step 0, or -1 where step
// 0 itself is still to come). What earlier event files of such a run say of later steps is cut off them, as is a record that was not written
// to its end: the run will say it again. Files of other programs are left alone.
//
// A new file is begun each time, since a TensorBoard that is looking on has its place in the old one.
func OpenEvents(dir string, step int64) (*Events, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("report: events: %w", err)
	}
	old, last, err := eventFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("report: events: %w", err)
	}
	for _, name := range old {
		if err := cutEvents(filepath.Join(dir, name), step); err != nil {
			return nil, fmt.Errorf("report: events: %w", err)
		}
	}
	// Names have a second's time in them, and a run may begin twice in one.
	at := max(time.Now().Unix(), last+1)
	f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%s%010d%s", eventsPrefix, at, eventsSuffix)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, fmt.Errorf("report: events: %w", err)
	}
	e := &Events{file: f, buffer: bufio.NewWriter(f), now: time.Now}
	e.put(appendVersion(nil, e.seconds()))
	if err := e.Flush(); err != nil { // a full disk is noticed here
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return e, nil
}

// eventFiles lists the files of dir that OpenEvents made, in the order of their times, and the time of the last one.
func eventFiles(dir string) (names []string, last int64, err error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, 0, err
	}
	for _, entry := range entries {
		name := entry.Name()
		digits, ok := strings.CutPrefix(name, eventsPrefix)
		digits, mine := strings.CutSuffix(digits, eventsSuffix)
		at, err := strconv.ParseInt(digits, 10, 64)
		if !ok || !mine || err != nil || at < 0 || len(digits) != 10 || !entry.Type().IsRegular() {
			continue
		}
		names, last = append(names, name), max(last, at)
	}
	return names, last, nil
}

// cutEvents shortens an event file to the records before the first one of a step beyond step, or before the first that is damaged. A file in which
// nothing but its version is left is removed.
func cutEvents(path string, step int64) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := bufio.NewReader(f)
	var buf []byte
	var end int64
	kept := 0
	for {
		content, err := readRecord(r, buf)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, errRecord) {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err != nil {
			break
		}
		at, values, err := readEvent(content)
		if err != nil || at > step && values {
			break
		}
		if values {
			kept++
		}
		end += int64(len(content)) + recordHead + recordTail
		buf = content[:0]
	}
	if kept == 0 {
		return os.Remove(path)
	}
	return f.Truncate(end)
}

// seconds is the time now, as events have it.
func (e *Events) seconds() float64 { return float64(e.now().UnixMicro()) / 1e6 }

// put writes an event.
func (e *Events) put(event []byte) {
	if e.err != nil {
		return
	}
	e.record = appendRecord(e.record[:0], event)
	_, e.err = e.buffer.Write(e.record)
}

// Scalar adds a figure. TensorBoard shows one that is not finite as a gap.
func (e *Events) Scalar(step int64, tag string, value float64) {
	e.add(step, scalarValue(validTag(tag), float32(value)))
}

// Histogram adds a distribution; one that fits no rule (see Histogram.Validate) is an error of the writer.
func (e *Events) Histogram(step int64, tag string, h Histogram) {
	if err := h.Validate(); err != nil {
		e.fail(fmt.Errorf("%s: %w", tag, err))
		return
	}
	e.add(step, histogramValue(validTag(tag), h))
}

// maxEventPixels bounds an image, so that its record can be read again.
const maxEventPixels = 1 << 23

// Image adds a picture of at most 8 Mi pixels, stored as PNG.
func (e *Events) Image(step int64, tag string, img image.Image) {
	size := img.Bounds().Size()
	if size.X <= 0 || size.Y <= 0 || size.X > maxEventPixels/size.Y {
		e.fail(fmt.Errorf("%s: a picture of %d×%d pixels", tag, size.X, size.Y))
		return
	}
	b, err := encodePNG(img)
	if err != nil {
		e.fail(fmt.Errorf("%s: %w", tag, err))
		return
	}
	e.add(step, imageValue(validTag(tag), size, b))
}

// maxText bounds a text in bytes.
const maxText = 1 << 20

// Text adds words, which TensorBoard reads as Markdown.
func (e *Events) Text(step int64, tag, markdown string) {
	if len(markdown) > maxText {
		e.fail(fmt.Errorf("%s: a text of %d bytes", tag, len(markdown)))
		return
	}
	e.add(step, textValue(validTag(tag), strings.ToValidUTF8(markdown, "\ufffd")))
}

// add writes an event of one value.
func (e *Events) add(step int64, value []byte) { e.put(appendEvent(nil, e.seconds(), step, value)) }

// validTag makes a tag what the format allows: UTF-8, and short enough to read.
func validTag(tag string) string {
	const most = 1 << 10
	return strings.ToValidUTF8(tag[:min(len(tag), most)], "\ufffd")
}

func (e *Events) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// Flush hands what was added to the operating system, so that whoever looks on sees it.
func (e *Events) Flush() error {
	if e.err == nil {
		e.err = e.buffer.Flush()
	}
	if e.err != nil {
		return fmt.Errorf("report: events in %s: %w", e.file.Name(), e.err)
	}
	return nil
}

// Sync is Flush, and waits until all is on the disk.
func (e *Events) Sync() error {
	if err := e.Flush(); err != nil {
		return err
	}
	if e.err = e.file.Sync(); e.err != nil {
		return fmt.Errorf("report: events in %s: %w", e.file.Name(), e.err)
	}
	return nil
}

// Close is Flush, and ends the file. Closing twice does nothing.
func (e *Events) Close() error {
	if errors.Is(e.err, os.ErrClosed) {
		return nil
	}
	err := e.Flush()
	if closing := e.file.Close(); err == nil && closing != nil {
		err = fmt.Errorf("report: events: %w", closing)
	}
	e.err = os.ErrClosed
	return err
}

// Histogram is a distribution: Counts[i] values lie above Limits[i-1] and at or below Limits[i].
type Histogram struct {
	Min, Max, Sum, SumSquares float64
	Limits, Counts            []float64 // of equal length, limits rising
}

// maxBuckets bounds a histogram.
const maxBuckets = 1 << 16

// Validate reports the first thing about h that makes no sense.
func (h Histogram) Validate() error {
	if len(h.Limits) != len(h.Counts) || len(h.Limits) == 0 || len(h.Limits) > maxBuckets {
		return fmt.Errorf("report: histogram of %d limits and %d counts", len(h.Limits), len(h.Counts))
	}
	for i, limit := range h.Limits {
		if math.IsNaN(limit) || i > 0 && limit <= h.Limits[i-1] {
			return fmt.Errorf("report: histogram's limit %d is %v", i, limit)
		}
		if !(h.Counts[i] >= 0) {
			return fmt.Errorf("report: histogram's count %d is %v", i, h.Counts[i])
		}
	}
	return nil
}

// HistogramOf counts values into so many buckets of equal width between the smallest and the largest; values that are not finite are left out.
func HistogramOf(values []float64, buckets int) Histogram {
	h := Histogram{Min: math.Inf(1), Max: math.Inf(-1)}
	for _, v := range values {
		if finite(v) {
			h.Min, h.Max = min(h.Min, v), max(h.Max, v)
			h.Sum += v
			h.SumSquares += v * v
		}
	}
	buckets = min(max(buckets, 1), maxBuckets)
	if !(h.Min < h.Max) || !finite(h.Max-h.Min) { // one value, none, or a range beyond what can be divided
		if h.Min > h.Max {
			h.Min, h.Max = 0, 0
		}
		buckets = 1
	}
	for i := range buckets {
		limit := h.Min + (h.Max-h.Min)*float64(i+1)/float64(buckets)
		if i == buckets-1 {
			limit = h.Max
		}
		if i == 0 || limit > h.Limits[len(h.Limits)-1] { // numbers may lie too close for so many buckets
			h.Limits = append(h.Limits, limit)
		}
	}
	h.Counts = make([]float64, len(h.Limits))
	for _, v := range values {
		if finite(v) {
			i, _ := slices.BinarySearch(h.Limits, v)
			h.Counts[min(i, len(h.Counts)-1)]++
		}
	}
	return h
}
