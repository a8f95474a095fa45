package report

import (
	"errors"
	"image"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of the messages of event.proto, summary.proto, histogram.proto and tensor.proto that are written here (TensorBoard 2,
// https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto).
const (
	eventWallTime    = 1 // double, seconds since 1970
	eventStep        = 2 // int64
	eventFileVersion = 3 // string
	eventSummary     = 5

	summaryValue = 1

	valueTag      = 1 // string
	valueSimple   = 2 // float
	valueImage    = 4
	valueHisto    = 5
	valueTensor   = 8
	valueMetadata = 9

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

	metadataPlugin = 1
	pluginName     = 1

	tensorDType  = 1 // 7: strings
	tensorShape  = 2
	tensorString = 8
	shapeDim     = 2
	dimSize      = 1
)

// fileVersion is the content of the first event of a file.
const fileVersion = "brain.Event:2"

func appendBytes(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func appendInt(b []byte, n protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
}

func appendDouble(b []byte, n protowire.Number, v float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, n, protowire.Fixed64Type), math.Float64bits(v))
}

func appendDoubles(b []byte, n protowire.Number, v []float64) []byte {
	packed := make([]byte, 0, 8*len(v))
	for _, x := range v {
		packed = protowire.AppendFixed64(packed, math.Float64bits(x))
	}
	return appendBytes(b, n, packed)
}

// appendVersion adds the event that begins a file.
func appendVersion(b []byte, seconds float64) []byte {
	return appendBytes(appendDouble(b, eventWallTime, seconds), eventFileVersion, []byte(fileVersion))
}

// appendEvent adds an event of one value.
func appendEvent(b []byte, seconds float64, step int64, value []byte) []byte {
	b = appendInt(appendDouble(b, eventWallTime, seconds), eventStep, step)
	return appendBytes(b, eventSummary, appendBytes(nil, summaryValue, value))
}

func scalarValue(tag string, v float32) []byte {
	b := appendBytes(nil, valueTag, []byte(tag))
	return protowire.AppendFixed32(protowire.AppendTag(b, valueSimple, protowire.Fixed32Type), math.Float32bits(v))
}

func imageValue(tag string, size image.Point, png []byte) []byte {
	m := appendInt(nil, imageHeight, int64(size.Y))
	m = appendInt(m, imageWidth, int64(size.X))
	m = appendInt(m, imageColorspace, 4)
	m = appendBytes(m, imageEncoded, png)
	return appendBytes(appendBytes(nil, valueTag, []byte(tag)), valueImage, m)
}

func histogramValue(tag string, h Histogram) []byte {
	n := 0.0
	for _, c := range h.Counts {
		n += c
	}
	var m []byte
	for _, f := range []struct {
		number protowire.Number
		value  float64
	}{{histoMin, h.Min}, {histoMax, h.Max}, {histoNum, n}, {histoSum, h.Sum}, {histoSumSquares, h.SumSquares}} {
		m = appendDouble(m, f.number, f.value)
	}
	m = appendDoubles(m, histoLimit, h.Limits)
	m = appendDoubles(m, histoBucket, h.Counts)
	return appendBytes(appendBytes(nil, valueTag, []byte(tag)), valueHisto, m)
}

// textValue is a tensor of one string for TensorBoard's plugin of texts.
func textValue(tag, text string) []byte {
	tensor := appendInt(nil, tensorDType, 7)
	tensor = appendBytes(tensor, tensorShape, appendBytes(nil, shapeDim, appendInt(nil, dimSize, 1)))
	tensor = appendBytes(tensor, tensorString, []byte(text))
	b := appendBytes(nil, valueTag, []byte(tag))
	b = appendBytes(b, valueTensor, tensor)
	plugin := appendBytes(nil, pluginName, []byte("text"))
	return appendBytes(b, valueMetadata, appendBytes(nil, metadataPlugin, plugin))
}

// errEvent says that bytes are no event.
var errEvent = errors.New("report: not an event of TensorBoard")

// readEvent reads the step of an event, and whether it has values or only says what the file is.
func readEvent(b []byte) (step int64, values bool, err error) {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return 0, false, errEvent
		}
		b = b[size:]
		if n == eventStep && kind == protowire.VarintType {
			v, size := protowire.ConsumeVarint(b)
			if size < 0 {
				return 0, false, errEvent
			}
			step, b = int64(v), b[size:]
			continue
		}
		if n == eventSummary {
			values = true
		}
		if size = protowire.ConsumeFieldValue(n, kind, b); size < 0 {
			return 0, false, errEvent
		}
		b = b[size:]
	}
	return step, values, nil
}
