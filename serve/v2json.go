package serve

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/adavit/adavit/internal/strictjson"
)

// The Open Inference Protocol's request and response in JSON. With the binary tensor extension the tensors' elements
// follow behind it as bytes.
type (
	jsonRequest struct {
		ID         string       `json:"id"`
		Parameters Parameters   `json:"parameters"`
		Inputs     []jsonTensor `json:"inputs"`
		Outputs    []jsonOutput `json:"outputs"`
	}
	jsonTensor struct {
		Name       string         `json:"name"`
		Shape      []int64        `json:"shape"`
		Datatype   Datatype       `json:"datatype"`
		Parameters Parameters     `json:"parameters"`
		Data       jsontext.Value `json:"data"`
	}
	jsonOutput struct {
		Name       string     `json:"name"`
		Parameters Parameters `json:"parameters"`
	}
)

// parseV2 reads a request: JSON of header bytes, behind it the tensors that are not in it. header is −1 where all of
// body is JSON. binary says for each output, and for "" as the rest, whether it is wanted as bytes.
func parseV2(body []byte, header int) (r Request, binary map[string]bool, ignored []string, err error) {
	raw := []byte(nil)
	if header >= 0 {
		if header > len(body) {
			return r, nil, nil, refuse(http.StatusBadRequest, "Inference-Header-Content-Length is %d, but the body has %d bytes",
				header, len(body))
		}
		body, raw = body[:header], body[header:]
	}
	var in jsonRequest
	if err := strictjson.Unmarshal(body, &in); err != nil {
		hint := ""
		if text := bytes.TrimLeft(body, " \t\r\n"); len(text) > 0 && text[0] != '{' {
			hint = "; a picture alone as the body is sent with Inference-Header-Content-Length: 0"
		}
		return r, nil, nil, refuse(http.StatusBadRequest, "the request is not as the protocol has it: %v%s", err, hint)
	}
	r.ID = in.ID
	if err := in.Parameters.apply(&r); err != nil {
		return r, nil, nil, err
	}
	for _, t := range in.Inputs {
		tensor := Tensor{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape}
		if err := t.Parameters.here(); err != nil {
			return r, nil, nil, err
		}
		size, inBytes, err := t.Parameters.number(paramBinarySize)
		switch {
		case err != nil:
			return r, nil, nil, err
		case inBytes && len(t.Data) > 0:
			return r, nil, nil, tensor.wrong("it has both data and binary_data_size; give one")
		case inBytes && (size < 0 || size > float64(len(raw)) || size != math.Trunc(size)):
			return r, nil, nil, tensor.wrong("binary_data_size is %v, but %d bytes are left behind the JSON", size, len(raw))
		case inBytes:
			err = tensor.decode(raw[:int(size)])
			raw = raw[int(size):]
		default:
			err = tensor.parse(t.Data)
		}
		if err != nil {
			return r, nil, nil, err
		}
		r.Inputs = append(r.Inputs, tensor)
	}
	if len(raw) > 0 {
		return r, nil, nil, refuse(http.StatusBadRequest, "%d bytes behind the JSON belong to no input: "+
			"their binary_data_size are too small", len(raw))
	}
	all, err := in.Parameters.flag(paramBinary, false)
	if err != nil {
		return r, nil, nil, err
	}
	ignored = in.Parameters.others(requestParameters...)
	binary = map[string]bool{"": all}
	for _, o := range in.Outputs {
		if err := o.Parameters.here(); err != nil {
			return r, nil, nil, err
		}
		classes, err := o.Parameters.classes(o.Name)
		if err != nil {
			return r, nil, nil, err
		}
		if binary[o.Name], err = o.Parameters.flag(paramBinaryData, all); err != nil {
			return r, nil, nil, err
		}
		ignored = append(ignored, o.Parameters.others(paramBinaryData, paramClasses)...)
		r.Outputs = append(r.Outputs, Output{o.Name, classes})
	}
	return r, binary, ignored, nil
}

// parse fills the tensor with the elements in a JSON array, in whatever way they are nested. BYTES are base64, which a
// picture needs in JSON.
func (t *Tensor) parse(data jsontext.Value) error {
	n, err := elements(t.Shape)
	if err != nil {
		return t.wrong("%v", err)
	}
	if len(data) == 0 || data[0] != '[' {
		return t.wrong("no data: want an array, or binary_data_size with the bytes behind the JSON")
	}
	switch short := len(data)/2 < n; { // an element and its comma; before anything of that size is made
	case t.Datatype != FP32 && t.Datatype != Bytes:
		return t.wrong("type %q is not one of FP32, BYTES", t.Datatype)
	case short:
		return t.wrong("its data do not fill shape %v", t.Shape)
	case t.Datatype == FP32:
		t.Floats = make([]float32, 0, n)
	default:
		t.Bytes = make([][]byte, 0, n)
	}
	// The JSON is known to be sound, so an element ends where a comma, a bracket or a space begins.
	for len(data) > 0 {
		if bytes.IndexByte([]byte("[], \t\r\n"), data[0]) >= 0 {
			data = data[1:]
			continue
		}
		if len(t.Floats)+len(t.Bytes) == n {
			return t.wrong("more data than shape %v has", t.Shape)
		}
		if data[0] == '"' {
			end := 1
			for ; data[end] != '"'; end++ {
				if data[end] == '\\' {
					end++
				}
			}
			text, _ := jsontext.AppendUnquote(nil, data[:end+1])
			b, err := base64.StdEncoding.DecodeString(string(text))
			if t.Datatype != Bytes || err != nil {
				return t.wrong("element %d is a string, want %s", len(t.Floats)+len(t.Bytes),
					map[Datatype]string{FP32: "a number", Bytes: "one in base64"}[t.Datatype])
			}
			t.Bytes, data = append(t.Bytes, b), data[end+1:]
			continue
		}
		end := bytes.IndexAny(data, ",] \t\r\n")
		x, err := strconv.ParseFloat(string(data[:end]), 32)
		if t.Datatype != FP32 || err != nil {
			return t.wrong("element %d is %.20s, want %s", len(t.Floats)+len(t.Bytes), data[:end],
				map[Datatype]string{FP32: "a number that float32 can hold", Bytes: "a string in base64"}[t.Datatype])
		}
		t.Floats, data = append(t.Floats, float32(x)), data[end:]
	}
	if len(t.Floats)+len(t.Bytes) < n {
		return t.wrong("%d elements, but shape %v has %d", len(t.Floats)+len(t.Bytes), t.Shape, n)
	}
	return nil
}

// appendV2 writes a response: JSON, and behind it the outputs that are wanted as bytes. header is the JSON's length, −1
// if there is nothing behind it.
func appendV2(r *Response, binary map[string]bool, ignored []string) (body []byte, header int, err error) {
	type output struct {
		Name       string          `json:"name"`
		Datatype   Datatype        `json:"datatype"`
		Shape      []int64         `json:"shape"`
		Parameters Parameters      `json:"parameters,omitempty"`
		Data       json.RawMessage `json:"data,omitempty"`
	}
	out := struct {
		Model      string     `json:"model_name"`
		Version    string     `json:"model_version"`
		ID         string     `json:"id,omitempty"`
		Parameters Parameters `json:"parameters"`
		Outputs    []output   `json:"outputs"`
	}{r.Model, r.Version, r.ID, r.Parameters(ignored), make([]output, len(r.Outputs))}
	header = -1
	var raw []byte
	for i := range r.Outputs {
		t := &r.Outputs[i]
		o := output{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape}
		inBytes, said := binary[t.Name]
		if !said {
			inBytes = binary[""]
		}
		if inBytes {
			o.Parameters = Parameters{paramBinarySize: int64(t.binarySize())}
			raw, header = t.AppendBinary(raw), 0
		} else {
			o.Data = t.appendJSON(nil)
		}
		out.Outputs[i] = o
	}
	if body, err = json.Marshal(out); err != nil {
		return nil, -1, err
	}
	if header == 0 {
		header = len(body)
	}
	return append(body, raw...), header, nil
}

// appendJSON appends the tensor's elements as a flat array, numbers so that they read back as the same float32.
func (t *Tensor) appendJSON(b []byte) []byte {
	b = append(b, '[')
	for i, v := range t.Floats {
		b = strconv.AppendFloat(comma(b, i), float64(v), 'g', -1, 32)
	}
	for i, v := range t.Ints {
		b = strconv.AppendInt(comma(b, i), int64(v), 10)
	}
	for i, v := range t.Bytes {
		text, err := json.Marshal(strings.ToValidUTF8(string(v), "\uFFFD"))
		if err == nil {
			b = append(comma(b, i), text...)
		}
	}
	return append(b, ']')
}

// comma appends what goes before element i.
func comma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}
