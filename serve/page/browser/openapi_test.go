package browser

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/adavit/adavit/serve/page"
)

// description returns openapi.yaml, which must be valid with all its examples.
func description(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(page.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	err = doc.Validate(context.Background(), openapi3.EnableExamplesValidation(), openapi3.EnableMultiError())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestOpenAPI: the description is valid and has every path that the server has, each with its refusals and an example
// of its JSON.
func TestOpenAPI(t *testing.T) {
	doc := description(t)
	model, version := "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
	want := []string{"GET /", "GET /openapi.yaml", "GET /metrics", "POST /v1/classify", "GET /v1/models", "GET /v1/load",
		"GET /v2", "GET /v2/health/live", "GET /v2/health/ready", "GET /v2/models", "GET /v2/models/stats",
		"POST /v2/repository/index", "POST /v2/repository/models/{model}/load",
		"POST /v2/repository/models/{model}/unload", "POST /reload", "GET /debug/pprof/"}
	for _, base := range []string{model, version} {
		want = append(want, "GET "+base, "GET "+base+"/ready", "GET "+base+"/config", "GET "+base+"/stats",
			"POST "+base+"/infer")
	}
	var got []string
	for path, item := range doc.Paths.Map() {
		for verb, o := range item.Operations() {
			name := verb + " " + path
			got = append(got, name)
			if o.Summary == "" || o.OperationID == "" {
				t.Errorf("%s has no summary or no operationId", name)
			}
			if o.Security == nil && (o.Responses.Value("401") == nil || o.Responses.Value("403") == nil) {
				t.Errorf("%s wants a key and does not say what is answered without", name)
			}
			for status, r := range o.Responses.Map() {
				json := r.Value.Content.Get("application/json")
				if json != nil && json.Example == nil && len(json.Examples) == 0 && json.Schema.Value.Example == nil {
					t.Errorf("%s, %s: no example", name, status)
				}
			}
		}
	}
	slices.Sort(want)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("paths\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// exchange is a request to a server.
type exchange struct {
	name, verb, path string
	header           map[string]string
	body             []byte
	status           int
	fault            bool // the description does not allow this request
	real             bool // only a real server answers it
}

// exchanges are requests to which the answers are held to the description. model is the path of a model below /v2.
func exchanges(t *testing.T, c *canned, model string) []exchange {
	picture := c.Pictures[0].PNG
	inputs := []object{{"name": "image", "datatype": "BYTES", "shape": []int{1},
		"data": []string{base64.StdEncoding.EncodeToString(picture)}}}
	asJSON := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	framed := append(binary.LittleEndian.AppendUint32(nil, uint32(len(picture))), picture...)
	head := asJSON(object{"parameters": object{"binary_data_output": true}, "inputs": []object{{"name": "image",
		"datatype": "BYTES", "shape": []int{1}, "parameters": object{"binary_data_size": len(framed)}}}})
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for _, f := range []struct {
		name string
		data []byte
	}{{"a.png", picture}, {"b.txt", []byte("no picture")}} {
		part, err := w.CreateFormFile("picture", f.name)
		if err != nil {
			t.Fatal(err)
		}
		part.Write(f.data)
	}
	w.Close()
	png := map[string]string{"Content-Type": "image/png"}
	jsonType := map[string]string{"Content-Type": "application/json"}
	raw := func(length int) map[string]string {
		return map[string]string{"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": itoa(length)}
	}
	list := []exchange{
		{name: "page", verb: "GET", path: "/", status: 200},
		{name: "description", verb: "GET", path: "/openapi.yaml", status: 200},
		{name: "models", verb: "GET", path: "/v1/models", status: 200},
		{name: "load", verb: "GET", path: "/v1/load", status: 200},
		{name: "picture", verb: "POST", path: "/v1/classify", header: png, body: picture, status: 200},
		{name: "depths", verb: "POST", path: "/v1/classify?depth=json&top=3", header: png, body: picture, status: 200},
		{name: "cap", verb: "POST", path: "/v1/classify?compute_budget_max=0.3", header: png, body: picture, status: 200},
		{name: "no share", verb: "POST", path: "/v1/classify?compute_budget_max=2", header: png, body: picture, status: 400,
			fault: true},
		{name: "no picture", verb: "POST", path: "/v1/classify", header: png, body: []byte("no picture"), status: 415},

		{name: "map", verb: "POST", path: "/v1/classify?depth=png", header: png, body: picture, status: 200, real: true},
		{name: "form", verb: "POST", path: "/v1/classify", header: map[string]string{"Content-Type": w.FormDataContentType()},
			body: form.Bytes(), status: 200, real: true},
		{name: "damaged", verb: "POST", path: "/v1/classify", header: png, body: picture[:len(picture)/2], status: 422,
			real: true},
		{name: "unknown model", verb: "POST", path: "/v1/classify?model=nobody", header: png, body: picture, status: 404,
			real: true},
		{name: "wrong verb", verb: "GET", path: "/v1/classify", status: 405, real: true},
		{name: "metrics", verb: "GET", path: "/metrics", status: 200, real: true},
		{name: "server", verb: "GET", path: "/v2", status: 200, real: true},
		{name: "live", verb: "GET", path: "/v2/health/live", status: 200, real: true},
		{name: "ready", verb: "GET", path: "/v2/health/ready", status: 200, real: true},
		{name: "names", verb: "GET", path: "/v2/models", status: 200, real: true},
		{name: "all statistics", verb: "GET", path: "/v2/models/stats", status: 200, real: true},
		{name: "index", verb: "POST", path: "/v2/repository/index", header: jsonType, body: []byte(`{"ready":true}`),
			status: 200, real: true},
		{name: "no model", verb: "GET", path: "/v2/models/nobody", status: 404, real: true},
		{name: "no input", verb: "POST", path: "/v2/models/" + model + "/infer", header: jsonType,
			body: []byte(`{"inputs":[]}`), status: 400, fault: true, real: true},
	}
	for _, base := range []string{"/v2/models/" + model, "/v2/models/" + model + "/versions/1"} {
		for _, what := range []string{"", "/ready", "/config", "/stats"} {
			list = append(list, exchange{name: base + what, verb: "GET", path: base + what, status: 200, real: true})
		}
		list = append(list,
			exchange{name: base + "/infer", verb: "POST", path: base + "/infer", header: jsonType, status: 200, real: true,
				body: asJSON(object{"id": "17", "inputs": inputs, "parameters": object{"compute_budget_max": "0.9", "x": 1}})},
			exchange{name: base + "/infer, classes", verb: "POST", path: base + "/infer", header: jsonType, status: 200,
				real: true, body: asJSON(object{"inputs": inputs, "outputs": []object{{"name": "probabilities",
					"parameters": object{"classification": 3}}}})},
			exchange{name: base + "/infer, bytes", verb: "POST", path: base + "/infer", header: raw(len(head)), status: 200,
				real: true, body: append(slices.Clone(head), framed...)},
			exchange{name: base + "/infer, raw", verb: "POST", path: base + "/infer", header: raw(0), body: picture,
				status: 200, real: true})
	}
	return list
}

// TestContract: what the server answers, be it a real one or the one that is played, is what openapi.yaml says.
func TestContract(t *testing.T) {
	for _, kind := range []string{"image/png", "text/html", "application/yaml", "text/plain"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.FileBodyDecoder)
	}
	doc := description(t)
	doc.Servers = nil // whatever the address
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	f, at := server(t)
	c := readCanned(t)
	model := "fashion-adaptive"
	if f == nil {
		var list struct{ Models []struct{ Name string } }
		if err := json.Unmarshal(get(t, at+"/v1/models"), &list); err != nil || len(list.Models) == 0 {
			t.Fatalf("no models: %v", err)
		}
		model = url.PathEscape(list.Models[0].Name)
	}
	for _, x := range exchanges(t, c, model) {
		if x.real && f != nil {
			continue
		}
		t.Run(x.name, func(t *testing.T) { x.run(t, router, at) })
	}
}

// get returns what a server answers.
func get(t *testing.T, address string) []byte {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	authorize(r)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func authorize(r *http.Request) {
	if key := os.Getenv("ADAVIT_KEY"); key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
}

// run makes the request and holds it and its answer to the description.
func (x exchange) run(t *testing.T, router routers.Router, at string) {
	request := func() *http.Request {
		r, err := http.NewRequest(x.verb, at+x.path, bytes.NewReader(x.body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range x.header {
			r.Header.Set(name, value)
		}
		authorize(r)
		return r
	}
	answer, err := http.DefaultClient.Do(request())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != x.status {
		t.Errorf("%s, want %d: %.300s", answer.Status, x.status, body)
	}
	if x.status == http.StatusMethodNotAllowed {
		if answer.Header.Get("Allow") == "" || !bytes.Contains(body, []byte(`"error"`)) {
			t.Errorf("Allow: %q, %s", answer.Header.Get("Allow"), body)
		}
		return
	}
	r := request()
	route, parameters, err := router.FindRoute(r)
	if err != nil {
		t.Fatal(err)
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{IncludeResponseStatus: true,
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	if err := openapi3filter.ValidateRequest(t.Context(), in); (err != nil) != x.fault {
		t.Errorf("the request: %v; fault wanted: %t", err, x.fault)
	}
	if n := answer.Header.Get("Inference-Header-Content-Length"); n != "" {
		var length int
		if _, err := fmt.Sscan(n, &length); err != nil || length > len(body) {
			t.Fatalf("Inference-Header-Content-Length: %q of %d bytes", n, len(body))
		}
		body = body[:length] // its JSON, which is described like one without bytes behind it
		answer.Header.Set("Content-Type", "application/json")
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: answer.StatusCode,
		Header: answer.Header, Body: io.NopCloser(bytes.NewReader(body)), Options: in.Options}
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("the answer: %v\n%.500s", err, body)
	}
}
