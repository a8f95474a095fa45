package serve

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// start serves models over HTTP.
func start(t testing.TB, o Options, models ...Source) (*Server, *httptest.Server) {
	t.Helper()
	o.Models, o.HTTP, o.ModelControl = models, "127.0.0.1:0", true
	s, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	return s, h
}

// bundled is a model that is part of the program.
var bundled = Source{"fashion-adaptive", "fashion-adaptive"}

// withLadder writes a small adaptive model with a ladder of three made-up rungs.
func withLadder(t testing.TB) Source {
	t.Helper()
	m := modeltest.Small(t, true)
	key := m.Params.Config.Halting.Tuning().Key
	for i, mean := range []float64{0.3, 0.5, 0.9} {
		m.Ladder = append(m.Ladder, vit.Rung{Mean: mean, Constants: map[string]float64{key: float64(2 + 4*i)}})
	}
	dir := t.TempDir()
	if err := vit.Save(dir, m, weights.F32); err != nil {
		t.Fatal(err)
	}
	if err := vit.SaveLadder(dir, m); err != nil {
		t.Fatal(err)
	}
	return Source{"small", dir}
}

// call makes a request and returns the answer.
func call(t testing.TB, method, url string, body []byte, header ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

// answer makes a request that must succeed, and reads its JSON.
func answer[T any](t testing.TB, method, url string, body []byte, header ...string) (v T) {
	t.Helper()
	resp, b := call(t, method, url, body, header...)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s: %s", method, url, resp.Status, b)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s %s: %v in %s", method, url, err, b)
	}
	return v
}

// pictures returns test images of Fashion-MNIST as PNG files.
func pictures(t testing.TB, d data.Dataset, n int) (files [][]byte) {
	for i := range n {
		var b bytes.Buffer
		if err := png.Encode(&b, modeltest.Image(t, d, i)); err != nil {
			t.Fatal(err)
		}
		files = append(files, b.Bytes())
	}
	return files
}

// v2Answer is an answer of the protocol in JSON.
type v2Answer struct {
	Model      string         `json:"model_name"`
	Version    string         `json:"model_version"`
	ID         string         `json:"id"`
	Parameters map[string]any `json:"parameters"`
	Outputs    []struct {
		Name       string            `json:"name"`
		Datatype   string            `json:"datatype"`
		Shape      []int             `json:"shape"`
		Parameters map[string]int    `json:"parameters"`
		Data       []json.RawMessage `json:"data"`
	} `json:"outputs"`
}

// floats returns an output's numbers from the JSON, or from what follows it.
func (a *v2Answer) floats(t *testing.T, name string, rest []byte) (values []float32) {
	t.Helper()
	for _, o := range a.Outputs {
		size := o.Parameters["binary_data_size"]
		if o.Name != name {
			rest = rest[size:]
			continue
		}
		for i := 0; i < size; i += 4 {
			values = append(values, math.Float32frombits(binary.LittleEndian.Uint32(rest[i:])))
		}
		for _, d := range o.Data {
			v, err := strconv.ParseFloat(string(d), 32)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, float32(v))
		}
		return values
	}
	t.Fatalf("no output %s", name)
	return nil
}

// binaryRequest is a request whose input follows the JSON as bytes.
func binaryRequest(t testing.TB, head map[string]any, input Tensor) (body []byte, header []string) {
	t.Helper()
	head["inputs"] = []any{map[string]any{"name": input.Name, "shape": input.Shape, "datatype": input.Datatype,
		"parameters": map[string]int{"binary_data_size": input.binarySize()}}}
	text, err := json.Marshal(head)
	if err != nil {
		t.Fatal(err)
	}
	return input.AppendBinary(text), []string{headerLength, strconv.Itoa(len(text))}
}

// TestInfer asks the same of each model in every form that the protocol has over HTTP: the answers have the bits of the
// engine by itself.
func TestInfer(t *testing.T) {
	d := modeltest.Fashion(t)
	sources := []Source{bundled, {"fashion-dense", "fashion-dense"}, withLadder(t)}
	_, h := start(t, Options{Threads: 2}, sources...)
	for _, source := range sources {
		m, err := adavit.Open(source.Path)
		if err != nil {
			t.Fatal(err)
		}
		c, n := m.Params.Config, 3
		precision, err := infer.Resolve(infer.Auto, m)
		if err != nil {
			t.Fatal(err)
		}
		pixels := modeltest.Tensor(t, m, d, n)
		var want infer.Output
		engine := modeltest.Engine(t, m.Params, precision, infer.Options{})
		if err := engine.Run(t.Context(), infer.Batch{Images: pixels}, &want); err != nil {
			t.Fatal(err)
		}
		url := h.URL + "/v2/models/" + source.Name + "/infer"
		input := Tensor{Name: "input", Datatype: FP32, Floats: pixels,
			Shape: []int64{int64(n), int64(c.Channels), int64(c.Height), int64(c.Width)}}
		text, err := json.Marshal(map[string]any{"id": "7", "inputs": []any{map[string]any{"name": "input",
			"shape": input.Shape, "datatype": "FP32", "data": pixels}}})
		if err != nil {
			t.Fatal(err)
		}
		check := func(form string, a v2Answer, rest []byte) {
			t.Helper()
			if got := a.floats(t, "logits", rest); !slices.Equal(got, want.Logits) {
				t.Errorf("%s, %s: logits %v, want %v", source.Name, form, got, want.Logits)
			}
			if a.Model != source.Name || a.Version != "1" || a.ID != "7" {
				t.Errorf("%s, %s: answer of model %q, version %q, id %q", source.Name, form, a.Model, a.Version, a.ID)
			}
		}
		a := answer[v2Answer](t, "POST", url, text)
		check("JSON", a, nil)
		depth, blocks := []int32{}, 0
		for _, v := range a.floats(t, "depth", nil) {
			depth, blocks = append(depth, int32(v)), blocks+int(v)
		}
		if !slices.Equal(depth, want.Depth) || a.Parameters["token_blocks"] != float64(blocks) {
			t.Errorf("%s: depth %v, %v token-blocks; want %v", source.Name, depth, a.Parameters["token_blocks"], want.Depth)
		}
		sum := float32(0)
		for _, p := range a.floats(t, "probabilities", nil)[:c.Classes] {
			sum += p
		}
		if math.Abs(float64(sum)-1) > 1e-5 {
			t.Errorf("%s: probabilities add up to %v", source.Name, sum)
		}

		for _, asked := range []map[string]any{
			{"id": "7", "parameters": map[string]any{"binary_data_output": true}},
			{"id": "7", "outputs": []any{map[string]any{"name": "probabilities"},
				map[string]any{"name": "logits", "parameters": map[string]any{"binary_data": true}}}},
		} {
			body, header := binaryRequest(t, asked, input)
			resp, b := call(t, "POST", url, body, header...)
			length, err := strconv.Atoi(resp.Header.Get(headerLength))
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s, header length %q: %s", source.Name, resp.Status, resp.Header.Get(headerLength), b)
			}
			var a v2Answer
			if err := json.Unmarshal(b[:length], &a); err != nil {
				t.Fatal(err)
			}
			check(fmt.Sprint(asked), a, b[length:])
		}

		// A picture file: as tensor and alone, and as Classify sees it.
		file := pictures(t, d, 1)[0]
		classifier, err := adavit.NewClassifier(m, adavit.Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer classifier.Close()
		result, err := classifier.Classify(t.Context(), modeltest.Image(t, d, 0))
		if err != nil {
			t.Fatal(err)
		}
		body, header := binaryRequest(t, map[string]any{"outputs": []any{map[string]any{"name": "probabilities",
			"parameters": map[string]any{"classification": 2}}}},
			Tensor{Name: "image", Datatype: Bytes, Shape: []int64{1}, Bytes: [][]byte{file}})
		a = answer[v2Answer](t, "POST", url, body, header...)
		top := result.Top[0]
		if got, want := string(a.Outputs[0].Data[0]), fmt.Sprintf("%q", fmt.Sprintf("%f:%d:%s", top.Probability, top.Class,
			top.Label)); got != want || len(a.Outputs[0].Data) != 2 || a.Parameters["macs"] != float64(result.MACs) {
			t.Errorf("%s: classification %s with %v MACs, want %s with %v", source.Name, got, a.Parameters["macs"], want,
				result.MACs)
		}
		alone := answer[v2Answer](t, "POST", url, file, headerLength, "0")
		plain := answer[classified](t, "POST", h.URL+"/v1/classify?model="+source.Name, file)
		if got := alone.floats(t, "probabilities", nil)[top.Class]; got != float32(top.Probability) ||
			!cmp.Equal(plain.Top, result.Top) || plain.TokenBlocks != result.Tokens || plain.MACs != result.MACs ||
			plain.Blocks != result.Blocks {
			t.Errorf("%s: a picture alone gives %v and %+v, Classify %+v", source.Name, got, plain, result)
		}
	}
}

// TestBudgets asks for budgets in every way there is.
func TestBudgets(t *testing.T) {
	source := withLadder(t)
	_, h := start(t, Options{Threads: 1, Budget: infer.Budget{Mean: 0.9}}, source, bundled)
	file := pictures(t, modeltest.Fashion(t), 1)[0]
	type result struct {
		Applied float64 `json:"compute_budget_applied"`
		Reason  string  `json:"budget_reason"`
		Max     float64 `json:"compute_budget_max"`
		Blocks  int     `json:"token_blocks"`
		Dense   int     `json:"dense_token_blocks"`
	}
	for _, test := range []struct {
		query, header string
		want          result
	}{
		{"", "", result{Applied: 0.9, Reason: "default"}},
		{"?compute_budget=0.3", "", result{Applied: 0.3, Reason: "client"}},
		{"", "0.5", result{Applied: 0.5, Reason: "client"}},
		{"", "0.5,0.2", result{Applied: 0.2, Reason: "client", Max: 0.2}},
		{"?compute_budget=0.3", "0.5", result{Applied: 0.3, Reason: "client"}},
		{"?compute_budget_max=0.4", "", result{Applied: 0.4, Reason: "client", Max: 0.4}},
		{"?model=fashion-adaptive&compute_budget_max=0.25", "", result{Applied: 0.25, Reason: "client", Max: 0.25}},
	} {
		got := answer[result](t, "POST", h.URL+"/v1/classify"+test.query, file, "X-Compute-Budget", test.header)
		if test.want.Max > 0 && float64(got.Blocks) > test.want.Max*float64(got.Dense) {
			t.Errorf("%+v: %d token-blocks are above the cap", test, got.Blocks)
		}
		if got.Blocks, got.Dense = 0, 0; got != test.want {
			t.Errorf("%+v: got %+v", test, got)
		}
	}
	for text, applied := range map[string]any{`0.5`: 0.5, `"0.5"`: 0.5, `1`: 1.0, `1e-9`: 0.3} {
		body := fmt.Appendf(nil, `{"parameters": {"compute_budget": %s, "comput_budget": 1, "sequence_id": 7},
			"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": %d}}]}`,
			text, len(file)+4)
		head := len(body)
		body = (&Tensor{Datatype: Bytes, Bytes: [][]byte{file}}).AppendBinary(body)
		a := answer[v2Answer](t, "POST", h.URL+"/v2/models/small/infer?compute_budget=1", body, headerLength,
			strconv.Itoa(head))
		if a.Parameters["compute_budget_applied"] != applied || a.Parameters["budget_reason"] != "client" ||
			a.Parameters["ignored_parameters"] != "comput_budget,compute_budget,sequence_id" {
			t.Errorf("budget %s: parameters %v", text, a.Parameters)
		}
	}
}

// TestPages asks for what is no inference.
func TestPages(t *testing.T) {
	source := withLadder(t)
	_, h := start(t, Options{Threads: 1, Version: "v9"}, source)
	about := answer[struct {
		Name       string   `json:"name"`
		Version    string   `json:"version"`
		Extensions []string `json:"extensions"`
	}](t, "GET", h.URL+"/v2", nil)
	if about.Name != "adavit" || about.Version != "v9" || !slices.Contains(about.Extensions, "binary_tensor_data") {
		t.Errorf("server: %+v", about)
	}
	metadata := answer[ModelMetadata](t, "GET", h.URL+"/v2/models/small/versions/1", nil)
	if metadata.Name != "small" || !slices.Equal(metadata.Versions, []string{"1"}) || len(metadata.Inputs) != 2 {
		t.Errorf("metadata: %+v", metadata)
	}
	for _, path := range []string{"/v2/health/ready", "/v2/models/small/ready", "/v2/models/small/versions/1/ready"} {
		if got := answer[map[string]bool](t, "GET", h.URL+path, nil); !maps.Equal(got, map[string]bool{"ready": true}) {
			t.Errorf("%s: %v", path, got)
		}
	}
	if got := answer[map[string]bool](t, "GET", h.URL+"/v2/health/live", nil); !got["live"] {
		t.Error("not live")
	}
	list := answer[map[string][]ModelInfo](t, "GET", h.URL+"/v1/models", nil)["models"]
	if len(list) != 1 || len(list[0].Ladder) != 3 || !list[0].Adaptive || len(list[0].Labels) != list[0].Classes {
		t.Errorf("models: %+v", list)
	}
	file := pictures(t, modeltest.Fashion(t), 1)[0]
	shown := answer[classified](t, "POST", h.URL+"/v1/classify?depth=json&top=2", file)
	if len(shown.Depth) != list[0].Tokens || !slices.Equal(shown.Grid, list[0].Grid) || len(shown.Top) != 2 ||
		!strings.HasPrefix(shown.Picture, "data:image/png;base64,") {
		t.Errorf("depths: %+v", shown)
	}
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	resp, b := call(t, "POST", h.URL+"/v1/classify?depth=png", file, "Traceparent", trace, "X-Request-Id", "mine")
	if _, err := png.Decode(bytes.NewReader(b)); err != nil || resp.Header.Get("Traceparent") != trace ||
		resp.Header.Get("X-Request-Id") != "mine" || !strings.Contains(resp.Header.Get("Server-Timing"), "decode;dur=") {
		t.Errorf("picture of depths: %v, headers %v", err, resp.Header)
	}
	stats := answer[Statistics](t, "GET", h.URL+"/v2/models/small/stats", nil)
	if s := stats.Models[0]; s.Inferences != 2 || s.Executions != 2 || s.Times.Success.Count != 2 ||
		s.Times.Infer.Total <= 0 {
		t.Errorf("statistics: %+v", s)
	}
	if l := answer[Live](t, "GET", h.URL+"/v1/load", nil); l.Threads != 1 || l.InFlight != 0 {
		t.Errorf("load: %+v", l)
	}
	for path, kind := range map[string]string{"/": "text/html", "/openapi.yaml": "application/yaml",
		"/metrics": "text/plain"} {
		resp, b := call(t, "GET", h.URL+path, nil)
		if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), kind) || len(b) == 0 {
			t.Errorf("%s: %s, %s, %d bytes", path, resp.Status, resp.Header.Get("Content-Type"), len(b))
		}
	}
}
