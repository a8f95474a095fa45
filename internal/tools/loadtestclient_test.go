package tools

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/weights"
)

// short are options of a test that is over soon.
func short(url string) LoadOptions {
	return LoadOptions{URL: url, API: APIClassify, Images: "fashion-mnist", Arrivals: Constant, Rates: []float64{200},
		Duration: 100 * time.Millisecond, Timeout: 30 * time.Second, Connections: 4, Seed: 1}
}

// TestLoadPictures: on a real connection the server gets the pictures, the model and the budget.
func TestLoadPictures(t *testing.T) {
	d, err := datasets.FashionMNISTTest()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		img, err := png.Decode(r.Body)
		if grey, ok := img.(*image.Gray); err != nil || !ok || r.URL.Path != "/under/v1/classify" ||
			r.Header.Get("Content-Type") != "image/png" || r.Header.Get("X-Compute-Budget") != "0.5,0.75" ||
			r.FormValue("model") != "shoes" || r.FormValue("top") != "5" || r.Header.Get("Authorization") != "Bearer K" {
			http.Error(w, fmt.Sprintf("%v %v %v", err, r.URL, r.Header), http.StatusTeapot)
		} else {
			seen <- string(grey.Pix)
			say(w, http.StatusOK, 0.5, "client")
		}
	}))
	defer server.Close()
	o := short(server.URL + "/under/")
	o.Model, o.Budget = "shoes", adavit.Budget{Mean: 0.5, Max: 0.75}
	o.Header = http.Header{"Authorization": {"Bearer K"}}
	r, err := LoadTest(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if x := r.Rates[0]; x.Scheduled < 19 || x.Success != 1 || r.Budget != "0.5,0.75" || r.Model != "fake" ||
		r.Pictures != maxLoadPictures {
		t.Errorf("%+v", r)
	}
	close(seen)
	different, pixels := map[string]bool{}, make([]byte, 28*28)
	for p := range seen {
		different[p] = true
	}
	for i := 0; i < d.Len(); i += d.Len() / maxLoadPictures {
		if err := d.Pixels(pixels, i); err != nil {
			t.Fatal(err)
		}
		delete(different, string(pixels))
	}
	if len(different) != 0 {
		t.Errorf("%d of the pictures are not the data set's", len(different))
	}
}

// TestLoadTensors: with --api v2 requests are those of the Open Inference Protocol with binary tensors, prepared as the
// model wants them.
func TestLoadTensors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.safetensors")
	values := []float32{1, 2, 3, 4, 5, 6, -1, float32(math.Pi)}
	if err := weights.WriteSafetensors(file, nil, []weights.Tensor{
		weights.Float32Tensor("input", []int{2, 1, 2, 2}, values)}); err != nil {
		t.Fatal(err)
	}
	m, err := adavit.Open("fashion-adaptive")
	if err != nil {
		t.Fatal(err)
	}
	d, err := datasets.FashionMNISTTest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := data.Image(d, 0, picture.Decoding{})
	if err != nil {
		t.Fatal(err)
	}
	first := make([]float32, 28*28)
	if err := m.Preprocessor.Apply(first, img, 1, 28, 28); err != nil {
		t.Fatal(err)
	}
	bodies := make(chan []float32, 1000)
	shape := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/v2/repository/index" {
			io.WriteString(w, `[{"name":"fashion-adaptive","version":"1"},{"name":"fashion-adaptive","version":"2"}]`)
			return
		}
		n, err := strconv.Atoi(r.Header.Get(inferenceHeaderLength))
		want := fmt.Sprintf(`{"inputs":[{"datatype":"FP32","name":"input","parameters":{"binary_data_size":%d},"shape":%s}],`+
			`"outputs":[{"name":"logits","parameters":{"binary_data":true}}],"parameters":{"compute_budget_max":0.5}}`,
			len(body)-n, shape)
		if err != nil || string(body[:n]) != want || r.URL.Path != "/v2/models/fashion-adaptive/infer" {
			http.Error(w, fmt.Sprintf("%v %v %s", err, r.URL, body[:n]), http.StatusTeapot)
			return
		}
		var got []float32
		for b := range slices.Chunk(body[n:], 4) {
			got = append(got, math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
		bodies <- got
		head := `{"model_name":"told","parameters":{"compute_budget_applied":0.25,"budget_reason":"load"}}`
		w.Header().Set(inferenceHeaderLength, fmt.Sprint(len(head)))
		w.Header().Set("Server-Timing", "queue;dur=1, infer;dur=0.001, total;dur=2")
		io.WriteString(w, head+"\x00\x01\x02\x03")
	}))
	defer server.Close()
	o := short(server.URL)
	o.API, o.Budget.Max = APIV2, 0.5
	for _, c := range []struct {
		images, shape string
		one           []float32
		count, batch  int
	}{{file, "[1,1,2,2]", values[:4], 2, 1}, {"fashion-mnist", "[1,1,28,28]", first, maxLoadPictures, 1},
		{file, "[2,1,2,2]", values[:8], 1, 2}} {
		o.Images, shape, o.Batch = c.images, c.shape, c.batch
		r, err := LoadTest(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		x := r.Rates[0]
		if x.Success != 1 || x.Budget != 0.25 || x.Reasons["load"] != x.Scheduled || r.Model != "told" ||
			r.Pictures != c.count || x.OutsideP50 <= 0 || x.OutsideP50 > x.Latency.P50 {
			t.Errorf("%s: %+v", c.images, r)
		}
		found := false
		for len(bodies) > 0 {
			found = slices.Equal(<-bodies, c.one) || found
		}
		if !found && c.count <= 2 {
			t.Errorf("%s: the first image was never sent", c.images)
		}
	}
	o.Batch = 3
	if _, err := LoadTest(t.Context(), o); err == nil || !strings.Contains(err.Error(), "2 images") {
		t.Errorf("a batch that no images fill: %v", err)
	}
	o.Images, o.Batch = "fashion-mnist", 1
	client := loadClient{}
	if client.bodies, err = tensorBodies(t.Context(), o, "fashion-adaptive"); err != nil ||
		!bytes.HasSuffix(client.bodies[0].content, appendFloats(nil, first)) {
		t.Errorf("the first picture is not prepared as the model wants it: %v", err)
	}
}

// TestLoadPictureFiles: files are sent as they are.
func TestLoadPictureFiles(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for i := range 3 {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 5+i, 4)), nil); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, "class", fmt.Sprintf("%d.jpg", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
		want = append(want, b.String())
	}
	for name, count := range map[string]int{dir: 3, filepath.Join(dir, "class"): 3, filepath.Join(dir, "class/1.jpg"): 1} {
		bodies, err := pictureBodies(t.Context(), name)
		if err != nil || len(bodies) != count {
			t.Fatalf("%s: %d bodies, %v", name, len(bodies), err)
		}
		if count == 3 && (string(bodies[2].content) != want[2] || bodies[2].kind != "image/jpeg") {
			t.Errorf("%s: another content, %s", name, bodies[2].kind)
		}
	}
	if _, err := pictureBodies(t.Context(), filepath.Join(dir, "none")); err == nil {
		t.Error("no error about a name that leads nowhere")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := pictureBodies(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("%v of a context that has ended", err)
	}
}

// TestLoadErrors: what makes a test impossible is told at once, in words that help.
func TestLoadErrors(t *testing.T) {
	images := onePicture(t)
	two := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/repository/index" {
			io.WriteString(w, `[{"name":"a"},{"name":"b"}]`)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		json.NewEncoder(w).Encode(map[string]string{"error": "no model is called x; there are a and b"})
	}))
	defer two.Close()
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "<html>welcome</html>")
	}))
	defer html.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer slow.Close()
	for name, c := range map[string]struct {
		change func(o *LoadOptions)
		url    string
		want   string
		usage  bool
	}{
		"refused":       {nil, gone.URL, "connection refused; is a server running there", false},
		"refused v2":    {func(o *LoadOptions) { o.API = APIV2 }, gone.URL, "is a server running there", false},
		"unknown model": {func(o *LoadOptions) { o.Model = "x" }, two.URL, "status 404: no model is called x", false},
		"which model":   {func(o *LoadOptions) { o.API = APIV2 }, two.URL, "has the models a, b: choose", true},
		"no models":     {func(o *LoadOptions) { o.API = APIV2 }, html.URL, "does not list its models", true},
		"another":       {nil, html.URL, `answers what no adavit server would: "<html>welcome`, false},
		"slow":          {func(o *LoadOptions) { o.Timeout = 50 * time.Millisecond }, slow.URL, "does not answer", false},
		"unknown files": {func(o *LoadOptions) { o.API, o.Model = APIV2, "there" }, html.URL, "--like", true},
		"no pictures":   {func(o *LoadOptions) { o.Images = "nowhere" }, html.URL, `"nowhere"`, false},
		"scheme":        {nil, "ftp://host", "want the server's address", true},
		"no host":       {nil, "http://", "want the server's address", true},
		"rate":          {func(o *LoadOptions) { o.Rates = []float64{1, math.NaN()} }, html.URL, "--rate holds NaN", true},
		"high rate":     {func(o *LoadOptions) { o.Rates = []float64{1e9} }, html.URL, "--rate holds 1e+09", true},
		"duration":      {func(o *LoadOptions) { o.Duration = 0 }, html.URL, "--duration is 0s", true},
		"slo":           {func(o *LoadOptions) { o.SLO = -1 }, html.URL, "--slo is -1ns", true},
		"connections":   {func(o *LoadOptions) { o.Connections = 1 << 20 }, html.URL, "--connections is 1048576", true},
	} {
		o := short(c.url)
		o.Images = images
		if c.change != nil {
			c.change(&o)
		}
		_, err := LoadTest(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, usage.Err) != c.usage {
			t.Errorf("%s: %v, want an error with %q, wrong usage %t", name, err, c.want, c.usage)
		}
	}
}

// TestLoadText: what was measured can be printed and drawn, also where nothing was answered.
func TestLoadText(t *testing.T) {
	r := LoadResult{URL: "http://h:1", API: APIClassify, Model: "m", Arrivals: Poisson, Budget: "0.5", SLO: 100,
		Capacity: &Capacity{99.6, 8}, Rates: []RateResult{
			{Rate: 80, OfCapacity: 0.8, Scheduled: 800, Sent: 800, Success: 0.9, Goodput: 71.5,
				Answers:  map[string]int{statusOK: 720, "503": 40, "504": 10, answerTimeout: 10, "400": 20},
				Messages: map[string]string{"400": "no picture"}, Latency: &Latency{20, 15, 30, 90, 80, 99.4, 110, 120.5},
				Budget: 0.4567, Reasons: map[string]int{"load": 700, "client": 20}, Warnings: []string{"mind the gap"}},
			{Rate: 40, OfCapacity: 0.4, Scheduled: 400, Sent: 400, Answers: map[string]int{answerRefused: 400}},
		}}
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"http://h:1, model m, classify requests, poisson arrivals, budget 0.5\n",
		"capacity: 99.6 requests/s on 8 connections\n", "budgets by client 20 ×, load 700 ×\n",
		"80 requests/s: answers 200 720 ×, 400 20 × (no picture), 503 40 ×, 504 10 ×, timeout 10 ×\n",
		"80 requests/s: mind the gap\n", "answers refused 400 ×\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
	row := strings.Fields(strings.Split(b.String(), "\n")[5])
	want := []string{"80", "0.8", "800", "90", "5", "2.5", "2.5", "71.5", "15", "30", "90", "80–99.4", "110", "120",
		"0.46",
		"0"}
	if !slices.Equal(row, want) {
		t.Errorf("%q, want %q", row, want)
	}
	c := r.Chart()
	if len(c.Series) != 4 || !slices.Equal(c.Series[1].Y, []float64{90}) ||
		!slices.Equal(c.Series[3].X, []float64{40, 80}) {
		t.Errorf("%+v", c)
	}
	if err := c.WriteSVG(filepath.Join(t.TempDir(), "x.svg")); err != nil {
		t.Error(err)
	}
}
