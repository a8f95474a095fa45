package serve

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/adavit/adavit/internal/modeltest"
)

// read has a tensor's floats read, so that it can be written.
func (t Tensor) read() Tensor {
	if t.raw != nil {
		t.Floats, _ = t.floats(0, len(t.raw)/4, nil)
	}
	return t
}

// FuzzV2 reads requests of any bytes: a tensor that is let in has as many elements as its shape says, and is written as
// it was read.
func FuzzV2(f *testing.F) {
	f.Add([]byte(`{"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 2], "data": [[0.5, -1e3]]}]}`), -1)
	f.Add([]byte(`{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["AA\/="]}]}`), -1)
	head := `{"id": "x", "parameters": {"compute_budget": "0.5"}, "inputs": [{"name": "image", "datatype": "BYTES",
		"shape": [2], "parameters": {"binary_data_size": 10}}], "outputs": [{"name": "depth"}]}`
	f.Add([]byte(head+"\x01\x00\x00\x00a\x01\x00\x00\x00b"), len(head))
	f.Add([]byte(head+"\x01\x00\x00\x00a\xff\xff\xff\xffb"), len(head))
	f.Fuzz(func(t *testing.T, body []byte, header int) {
		r, _, _, err := parseV2(slices.Clone(body), max(header, -1))
		if err != nil {
			if e := asError(err); e.Status != 400 || e.Message == "" {
				t.Fatalf("status %d: %v", e.Status, e)
			}
			return
		}
		for _, in := range r.Inputs {
			in = in.read()
			n, err := elements(in.Shape)
			if err != nil || n != len(in.Floats)+len(in.Bytes)+len(in.Ints) {
				t.Fatalf("%s %v holds %d, %d and %d elements", in.Datatype, in.Shape, len(in.Floats), len(in.Bytes), len(in.Ints))
			}
			again := Tensor{Name: in.Name, Datatype: in.Datatype, Shape: in.Shape}
			raw := in.AppendBinary(nil)
			if err := again.decode(raw); err != nil {
				t.Fatalf("%v does not come back: %v", in, err)
			}
			if again = again.read(); !slices.Equal(again.AppendBinary(nil), raw) {
				t.Fatalf("%v came back as %v", in, again)
			}
			if in.Datatype != FP32 {
				continue
			}
			if err := again.parse(in.appendJSON(nil)); err != nil || !slices.Equal(again.AppendBinary(nil), raw) {
				t.Fatalf("%v does not come back from JSON: %v", in, err)
			}
		}
	})
}

// FuzzUploads takes forms of any bytes apart.
func FuzzUploads(f *testing.F) {
	f.Add("multipart/form-data; boundary=x",
		[]byte("--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\nc\r\n--x--\r\n"))
	f.Add("image/png", []byte("\x89PNG"))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		files, form, err := uploads(kind, body)
		if err == nil && len(files) == 0 || !form && len(files) > 1 {
			t.Fatalf("%d files, form %v, %v", len(files), form, err)
		}
	})
}

// TestMetrics asks for the metrics after an answer: they keep Prometheus's rules for names, and count.
func TestMetrics(t *testing.T) {
	s, h := start(t, Options{Threads: 1}, bundled)
	file := pictures(t, modeltest.Fashion(t), 1)[0]
	got := answer[classified](t, "POST", h.URL+"/v1/classify", file)
	call(t, "POST", h.URL+"/v1/classify", []byte("no picture"))
	call(t, "BREW", h.URL+"/v1/classify", nil)
	problems, err := testutil.GatherAndLint(s.metrics.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	_, b := call(t, "GET", h.URL+"/metrics", nil)
	for _, line := range []string{
		`adavit_requests_total{method="POST",path="/v1/classify",status="200"} 1`,
		`adavit_requests_total{method="POST",path="/v1/classify",status="415"} 1`,
		`adavit_requests_total{method="other",path="/v1/classify",status="405"} 1`,
		`adavit_images_total{model="fashion-adaptive",reason="default",version="1"} 1`,
		`adavit_token_blocks_total{model="fashion-adaptive",version="1"} ` + strconv.Itoa(got.TokenBlocks),
		`adavit_decode_seconds_count 1`,
		`adavit_threads 1`,
	} {
		if !strings.Contains(string(b), "\n"+line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}

// TestSchemaOfErrors: an error has one key, whatever it says.
func TestSchemaOfErrors(t *testing.T) {
	_, h := start(t, Options{Threads: 1}, bundled)
	_, b := call(t, "GET", h.URL+"/\"<script>", nil)
	var e map[string]string
	if err := json.Unmarshal(b, &e); err != nil || len(e) != 1 || e["error"] == "" {
		t.Errorf("%s: %v", b, err)
	}
}
