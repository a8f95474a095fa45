package tfevents

import (
	"encoding/binary"
	"image"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/adavit/adavit/internal/protobuf"
)

// Every field has its number in event.proto, summary.proto or histogram.proto and, behind it, its name there
// (TensorBoard 2, https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto).
const eventStep, eventSummary = 2, 5

// newEvent begins an event.
func newEvent() (m protobuf.Message) {
	m.Double(1, float64(time.Now().UnixMicro())/1e6) // wall_time, seconds since 1970
	return m
}

// versionEvent is the event that begins a file.
func versionEvent() []byte {
	m := newEvent()
	m.Text(3, "brain.Event:2") // file_version
	return m
}

// valueEvent is an event of one value.
func valueEvent(step int64, value protobuf.Message) []byte {
	m := newEvent()
	m.Int(eventStep, step)
	var summary protobuf.Message
	summary.Bytes(1, value) // value
	m.Bytes(eventSummary, summary)
	return m
}

// newValue begins a value. The tag becomes what the format allows: UTF-8, and short enough to read.
func newValue(tag string) (m protobuf.Message) {
	const most = 1 << 10
	m.Text(1, strings.ToValidUTF8(tag[:min(len(tag), most)], "\ufffd")) // tag
	return m
}

func scalarValue(tag string, v float32) protobuf.Message {
	m := newValue(tag)
	m.Float(2, v) // simple_value
	return m
}

func imageValue(tag string, size image.Point, png []byte) protobuf.Message {
	var img protobuf.Message
	img.Int(1, int64(size.Y)) // height
	img.Int(2, int64(size.X)) // width
	img.Int(3, 4)             // colorspace: red, green, blue, opacity
	img.Bytes(4, png)         // encoded_image_string
	m := newValue(tag)
	m.Bytes(4, img) // image
	return m
}

// histogram is a distribution: counts[i] values lie above limits[i-1] and at or below limits[i].
type histogram struct {
	min, max, sum, sumSquares float64
	limits, counts            []float64 // of equal length, limits rising
}

func histogramValue(tag string, h histogram) protobuf.Message {
	num := 0.0
	for _, c := range h.counts {
		num += c
	}
	packed := func(values []float64) []byte {
		b, _ := binary.Append(nil, binary.LittleEndian, values) // fails for no slice of numbers
		return b
	}
	var histo protobuf.Message
	histo.Double(1, h.min)           // min
	histo.Double(2, h.max)           // max
	histo.Double(3, num)             // num
	histo.Double(4, h.sum)           // sum
	histo.Double(5, h.sumSquares)    // sum_squares
	histo.Bytes(6, packed(h.limits)) // bucket_limit
	histo.Bytes(7, packed(h.counts)) // bucket
	m := newValue(tag)
	m.Bytes(5, histo) // histo
	return m
}

const maxBuckets = 1 << 16 // of a histogram

// histogramOf counts values into so many buckets of equal width between the smallest and the largest.
func histogramOf(values []float64, buckets int) histogram {
	values = slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	if len(values) == 0 {
		return histogram{limits: []float64{0}, counts: []float64{0}}
	}
	h := histogram{min: slices.Min(values), max: slices.Max(values)}
	width := h.max - h.min
	if width == 0 || math.IsInf(width, 0) { // one value, or a range beyond what can be divided
		buckets = 1
	}
	buckets = min(max(buckets, 1), maxBuckets)
	for i := range buckets - 1 {
		h.limits = append(h.limits, min(h.min+width*float64(i+1)/float64(buckets), h.max))
	}
	h.limits = slices.Compact(append(h.limits, h.max)) // numbers may lie too close for so many buckets
	h.counts = make([]float64, len(h.limits))
	for _, v := range values {
		i, _ := slices.BinarySearch(h.limits, v)
		h.counts[i]++
		h.sum += v
		h.sumSquares += v * v
	}
	return h
}

// readEvent reads the step of an event, and whether it has values or only says what the file is.
func readEvent(b []byte) (step int64, values bool, err error) {
	all, err := protobuf.Fields(b)
	for _, f := range all {
		if f.Number == eventStep && f.Type == protowire.VarintType {
			step = int64(f.Int)
		}
		values = values || f.Number == eventSummary
	}
	return step, values, err
}
