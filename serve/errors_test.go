package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/modeltest"
)

// TestErrors sends what cannot be answered: each gets its status and a sentence.
func TestErrors(t *testing.T) {
	s, h := start(t, Options{Threads: 1, MaxBody: 100_000, MaxQueue: 4}, withLadder(t), bundled)
	file := string(pictures(t, modeltest.Fashion(t), 1)[0])
	input := func(shape, data string) string {
		return fmt.Sprintf(`{"inputs": [{"name": "input", "datatype": "FP32", "shape": %s, "data": [%s]}]}`, shape, data)
	}
	c := s.models.entries[0].versions[0].config
	one := fmt.Sprintf("[1, %d, %d, %d]", c.Channels, c.Height, c.Width)
	zeros := strings.TrimSuffix(strings.Repeat("0,", c.ImageLen()), ",")
	outputs := func(list string) string {
		return strings.TrimSuffix(input(one, zeros), "}") + `, "outputs": [` + list + `]}`
	}
	const inferPath, formType = "/v2/models/small/infer", "Content-Type: multipart/form-data; boundary=x"
	form := func(name, data string) string {
		return "--x\r\nContent-Disposition: form-data; name=" + name + "\r\n\r\n" + data + "\r\n"
	}
	for _, test := range []struct {
		method, path, body, header string // "Name: value"
		status                     int
		says                       string
	}{
		{"POST", inferPath, "{", "", 400, "invalid JSON"},
		{"POST", inferPath, `{"inputs": [], "inputs": []}`, "", 400, "twice"},
		{"POST", inferPath, `{"input": []}`, "", 400, "input"},
		{"POST", inferPath, `{"inputs": []}`, "", 400, "0 inputs"},
		{"POST", inferPath, strings.Replace(input(one, zeros), `"input"`, `"pixels"`, 1), "", 400, `no input "pixels"`},
		{"POST", inferPath, input(one, zeros+",0"), "", 400, "more data"},
		{"POST", inferPath, input(one, zeros[2:]), "", 400, "do not fill"},
		{"POST", inferPath, input(one, "1e999"+zeros[1:]), "", 400, "float32"},
		{"POST", inferPath, input(one, "null"+zeros[1:]), "", 400, "element 0 is null"},
		{"POST", inferPath, input(one, `"AAAA"`+zeros[1:]), "", 400, "want a number"},
		{"POST", inferPath, input("[1, 2, 3]", "0,0,0,0,0,0"), "", 400, "want FP32 [-1"},
		{"POST", inferPath, input("[9223372036854775807, 9223372036854775807]", "0"), "", 400, "too large"},
		{"POST", inferPath, input("[-1, 1]", "0"), "", 400, "negative"},
		{"POST", inferPath, input("[0, 1, 28, 28]", ""), "", 400, ""},
		{"POST", inferPath, input(one, zeros), "Inference-Header-Content-Length: 1000000", 400, "body has"},
		{"POST", inferPath, input(one, zeros), "Inference-Header-Content-Length: x", 400, "how many bytes"},
		{"POST", inferPath, input(one, zeros) + "more", "Inference-Header-Content-Length: " +
			fmt.Sprint(len(input(one, zeros))), 400, "belong to no input"},
		{"POST", inferPath, outputs(`{"name": "tokens"}`), "", 400, `no output "tokens"`},
		{"POST", inferPath, outputs(`{"name": "depth"}, {"name": "depth"}`), "", 400, "twice"},
		{"POST", inferPath, outputs(`{"name": "depth", "parameters": {"classification": 3}}`), "", 400, "classification"},
		{"POST", inferPath, `{"parameters": {"compute_budget": "half"}, "inputs": []}`, "", 400, "want a number"},
		{"POST", inferPath, `{"parameters": {"compute_budget": 1.5}, "inputs": []}`, "", 400, "above 0 and at most 1"},
		{"POST", inferPath, `{"parameters": {"timeout": -1}, "inputs": []}`, "", 400, "timeout"},
		{"POST", inferPath, `{"parameters": {"sequence_start": true}, "inputs": []}`, "", 400, "sequence_start"},
		{"POST", inferPath, input(one, zeros), "X-Compute-Budget: 2", 400, "X-Compute-Budget is"},
		{"POST", inferPath, input(one, zeros), "X-Compute-Budget: 0.5,0.0001", 400, "a cap of"},
		{"POST", "/v2/models/fashion-adaptive/infer", file, "Inference-Header-Content-Length: 0", 200, ""},
		{"POST", "/v2/models/none/infer", "", "", 404, `no model "none"`},
		{"GET", "/v2/models/none/ready", "", "", 404, `no model "none"`},
		{"GET", "/v2/models/small/versions/2", "", "", 404, `no version "2"`},
		{"GET", "/v2/models/small/versions/2/ready", "", "", 404, "it has [1]"},
		{"GET", "/v2/nothing", "", "", 404, "/openapi.yaml"},
		{"GET", inferPath, "", "", 405, "POST"},
		{"DELETE", "/v2/models/small", "", "", 405, "DELETE"},
		{"POST", "/v2/models/small", "{}", "", 405, "GET"},
		{"GET", "/v1/classify", "", "", 405, "POST"},
		{"POST", "/v1/classify", strings.Repeat(" ", 100_001), "", 413, "--max-body"},
		{"POST", "/v1/classify", "", "", 400, "empty"},
		{"POST", "/v1/classify", "hello", "", 415, "not an image"},
		{"POST", "/v1/classify", file[:len(file)/2], "", 422, "damaged"},
		{"POST", "/v1/classify", hugePNG, "", 413, "too large"},
		{"POST", "/v1/classify", file, "Content-Encoding: br", 415, "gzip"},
		{"POST", "/v1/classify", file, "Content-Encoding: gzip", 400, "gzip"},
		{"POST", "/v1/classify?size=3", file, "", 400, "size"},
		{"POST", "/v1/classify?top=0", file, "", 400, "top"},
		{"POST", "/v1/classify?depth=svg", file, "", 400, "png or json"},
		{"POST", "/v1/classify", file, "Content-Type: multipart/form-data", 400, "form"},
		{"POST", "/v2/repository/models/small/load", `{"parameters": {"config": "{}"}}`, "", 400, "from where the server"},
		{"POST", "/v2/repository/models/other/load", "", "", 404, `no model "other"`},
		{"POST", "/v2/repository/index", "[]", "", 400, "object"},
		{"POST", inferPath, file, "", 400, "Inference-Header-Content-Length: 0"},
		{"POST", inferPath, strings.Replace(input(one, "0"), "FP32", "FP16", 1), "", 400, "not one of FP32, BYTES"},
		{"POST", inferPath, `{"parameters": {"compute_budget": null}, "inputs": []}`, "", 400, "is null, want a number"},
		{"POST", inferPath, `{"parameters": {"timeout": 1e30}, "inputs": []}`, "", 400, "9e15"},
		{"POST", inferPath, `{"parameters": {"binary_data_output": "true"}, "inputs": []}`, "", 400, "true or false"},
		{"POST", inferPath, outputs(`{"name": "logits", "parameters": {"shared_memory_region": "x"}}`), "", 400,
			"shared memory"},
		{"POST", inferPath, strings.Replace(input(one, zeros), `"data"`,
			`"parameters": {"shared_memory_region": "x"}, "data"`, 1), "", 400, "shared memory"},
		{"POST", "/v1/classify", form("a", "hello") + form("b", "") + "--x--", formType, 415, "none of 2 pictures"},
		{"POST", "/v1/classify", form("model", "small") + "--x--", formType, 400, "?model="},
	} {
		var header []string
		if name, value, ok := strings.Cut(test.header, ": "); ok {
			header = []string{name, value}
		}
		resp, b := call(t, test.method, h.URL+test.path, []byte(test.body), header...)
		if resp.StatusCode == http.StatusOK && test.status == http.StatusOK {
			continue
		}
		var e struct {
			Error string `json:"error"`
		}
		if err := json.Unmarshal(b, &e); err != nil || resp.StatusCode != test.status ||
			!strings.Contains(e.Error, test.says) ||
			e.Error == "" || resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s %.60s (%s): %s, %s; want %d with %q", test.method, test.path, test.body, test.header, resp.Status, b,
				test.status, test.says)
		}
		if (test.status == http.StatusMethodNotAllowed) != (resp.Header.Get("Allow") != "") {
			t.Errorf("%s %s: Allow is %q", test.method, test.path, resp.Header.Get("Allow"))
		}
	}
	// Too many images for the queue, and an image with a NaN.
	five := Tensor{Name: "input", Datatype: FP32, Shape: []int64{5, 1, int64(c.Height), int64(c.Width)},
		Floats: make([]float32, 5*c.ImageLen())}
	if _, err := s.Infer(t.Context(), &Request{Inputs: []Tensor{five}}); asError(err).Status != 413 {
		t.Errorf("five images for a queue of four: %v", err)
	}
	five.Shape[0], five.Floats = 1, five.Floats[:c.ImageLen()]
	five.Floats[7] /= five.Floats[7]
	if _, err := s.Infer(t.Context(), &Request{Inputs: []Tensor{five}}); asError(err).Status != 400 ||
		!strings.Contains(err.Error(), "element 7 of image 0 is NaN") {
		t.Errorf("a NaN: %v", err)
	}
	// A model without a ladder cannot aim at a mean.
	_, plain := start(t, Options{Threads: 1, Budget: infer.Budget{Mean: 0.5}}, withoutLadder(t), bundled)
	if resp, b := call(t, "POST", plain.URL+"/v1/classify?compute_budget=0.5", []byte(file)); resp.StatusCode != 400 ||
		!strings.Contains(string(b), "compute_budget_max") {
		t.Errorf("a mean without a ladder: %s, %s", resp.Status, b)
	}
	if got := answer[classified](t, "POST", plain.URL+"/v1/classify", []byte(file)); got.Applied != 1 {
		t.Errorf("the server's mean without a ladder: %+v", got)
	}
	if s.memory.used.Load() != 0 || s.admitted.Load() != 0 {
		t.Errorf("%d bytes and %d images are left over", s.memory.used.Load(), s.admitted.Load())
	}
}

// hugePNG is the header of a PNG file of 65500 × 65500 pixels.
const hugePNG = "\x89PNG\r\n\x1a\n" +
	"\x00\x00\x00\rIHDR\x00\x00\xff\xdc\x00\x00\xff\xdc\x08\x02\x00\x00\x00\x95\x17\xbf\x1e"
