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

// Field numbers of the messages of event.proto, summary.proto and histogram.proto that are written here
// (TensorBoard 2, https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto).
const (
	eventWallTime    = 1 // double, seconds since 1970
	eventStep        = 2 // int64
	eventFileVersion = 3 // string
	eventSummary     = 5

	summaryValue = 1

	valueTag    = 1 // string
	valueSimple = 2 // float
	valueImage  = 4
	valueHisto  = 5

	imageHeight     = 1
	imageWidth      = 2
	imageColorspace = 3 // 3: red, green, blue; 4: with opacity
	imageEncoded    = 4 // bytes of a PNG file

	histoMin        = 1
	histoMax        = 2
	histoNum        = 3
	histoSum        = 4
	histoSumSquares = 5
	histoLimit      = 6 // packed doubles
	histoBucket     = 7 // packed doubles
)

// now is the time as events have it, seconds since 1970.
func now() float64 { return float64(time.Now().UnixMicro()) / 1e6 }

// versionEvent is the event that begins a file.
func versionEvent() []byte {
	var m protobuf.Message
	m.Double(eventWallTime, now())
	m.Text(eventFileVersion, "brain.Event:2")
	return m
}

// valueEvent is an event of one value.
func valueEvent(step int64, value protobuf.Message) []byte {
	var m, summary protobuf.Message
	summary.Bytes(summaryValue, value)
	m.Double(eventWallTime, now())
	m.Int(eventStep, step)
	m.Bytes(eventSummary, summary)
	return m
}

// tagged begins a value. The tag becomes what the format allows: UTF-8, and short enough to read.
func tagged(tag string) (m protobuf.Message) {
	const most = 1 << 10
	m.Text(valueTag, strings.ToValidUTF8(tag[:min(len(tag), most)], "\ufffd"))
	return m
}

func scalarValue(tag string, v float32) protobuf.Message {
	m := tagged(tag)
	m.Float(valueSimple, v)
	return m
}

func imageValue(tag string, size image.Point, png []byte) protobuf.Message {
	var img protobuf.Message
	img.Int(imageHeight, int64(size.Y))
	img.Int(imageWidth, int64(size.X))
	img.Int(imageColorspace, 4)
	img.Bytes(imageEncoded, png)
	m := tagged(tag)
	m.Bytes(valueImage, img)
	return m
}

// histogram is a distribution: counts[i] values lie above limits[i-1] and at or below limits[i].
type histogram struct {
	min, max, sum, sumSquares float64
	limits, counts            []float64 // of equal length, limits rising
}

func histogramValue(tag string, h histogram) protobuf.Message {
	var histo protobuf.Message
	num := 0.0
	for _, c := range h.counts {
		num += c
	}
	histo.Double(histoMin, h.min)
	histo.Double(histoMax, h.max)
	histo.Double(histoNum, num)
	histo.Double(histoSum, h.sum)
	histo.Double(histoSumSquares, h.sumSquares)
	packed := func(n protowire.Number, values []float64) {
		var b []byte
		for _, v := range values {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		histo.Bytes(n, b)
	}
	packed(histoLimit, h.limits)
	packed(histoBucket, h.counts)
	m := tagged(tag)
	m.Bytes(valueHisto, histo)
	return m
}

// maxBuckets bounds a histogram.
const maxBuckets = 1 << 16

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
		limit := h.min + width*float64(i+1)/float64(buckets)
		if limit < h.max && (i == 0 || limit > h.limits[len(h.limits)-1]) { // numbers may lie too close for so many buckets
			h.limits = append(h.limits, limit)
		}
	}
	h.limits = append(h.limits, h.max)
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
