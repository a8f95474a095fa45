package browser

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/adavit/adavit/serve/page"
)

// fake plays the server: what openapi.yaml says of /v1, with canned answers. Its fields can be set before a request.
type fake struct {
	*canned
	mu       sync.Mutex
	key      string // that it wants; "": none
	busy     bool   // it answers 503
	draining bool
	bare     bool // the model has no ladder
	polls    int  // of /v1/load
	asked    []string
	begin    time.Time
	stop     func() // ends it
}

// set changes the fake's fields while nobody reads them.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// queries returns the queries of /v1/classify so far.
func (f *fake) queries() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

// newFake starts a fake server and returns it with its address.
func newFake(t *testing.T) (*fake, string) {
	t.Helper()
	f := &fake{canned: readCanned(t), begin: time.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page.ServeIndex)
	mux.HandleFunc("GET /openapi.yaml", page.ServeOpenAPI)
	mux.HandleFunc("GET /v1/models", f.withKey(f.models))
	mux.HandleFunc("GET /v1/load", f.withKey(f.load))
	mux.HandleFunc("POST /v1/classify", f.withKey(f.classify))
	mux.HandleFunc("GET /metrics", f.withKey(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "up 1") }))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	f.stop = s.Close
	return f, s.URL
}

// withKey lets in who has the key.
func (f *fake) withKey(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.key != "" && r.Header.Get("Authorization") != "Bearer "+f.key {
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, "send a key: Authorization: Bearer KEY")
			return
		}
		next(w, r)
	}
}

type object = map[string]any

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err) // of the test's own making
	}
}

func refuse(w http.ResponseWriter, status int, format string, args ...any) {
	reply(w, status, object{"error": fmt.Sprintf(format, args...)})
}

func (f *fake) models(w http.ResponseWriter, _ *http.Request) {
	model := func(name string, adaptive bool, budget float64, ladder any) object {
		return object{"name": name, "version": "1", "classes": 10, "layers": cannedLayers, "tokens": cannedTokens,
			"grid": []int{7, 7}, "adaptive": adaptive, "precision": "int8", "dense_macs": cannedDenseMACs,
			"dense_token_blocks": cannedDenseBlocks, "budget": budget, "ladder": ladder, "labels": f.Labels}
	}
	ladder := []object{}
	for _, r := range f.Rungs {
		if !f.bare {
			ladder = append(ladder, object{"mean": r.Mean, "top1": r.Top1, "agreement": r.Agreement, "ms": r.Milliseconds})
		}
	}
	reply(w, http.StatusOK, object{"models": []object{
		model("fashion-adaptive", true, 0.522, ladder), model("fashion-dense", false, 1, []object{})}})
}

// load makes up two busy minutes: each poll sees the next of their seconds.
func (f *fake) load(w http.ResponseWriter, _ *http.Request) {
	f.polls++
	at := float64(f.polls)
	work := 0.5 - 0.45*math.Cos(at/9)
	p99 := 9 + 90*work*work
	reply(w, http.StatusOK, object{
		"time": time.Now().UTC().Format(time.RFC3339), "uptime_s": time.Since(f.begin).Seconds(),
		"requests_per_second": 1800 * work, "images_per_second": 2400 * work, "in_flight": int(40 * work),
		"queue": int(12 * work), "busy": work, "budget": 0.522 - 0.2*work*work, "p50_ms": p99 / 3, "p99_ms": p99,
		"slo_ms": 150.0, "degraded": 40 * f.polls, "shed": 0, "threads": 2, "draining": f.draining})
}

func (f *fake) classify(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f.asked = append(f.asked, r.URL.RawQuery)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	if f.busy {
		w.Header().Set("Retry-After", "2")
		refuse(w, http.StatusServiceUnavailable, "1024 images wait already")
		return
	}
	var p *picture
	for i := range f.Pictures {
		if bytes.Equal(body, f.Pictures[i].PNG) {
			p = &f.Pictures[i]
		}
	}
	if p == nil {
		refuse(w, http.StatusUnsupportedMediaType, "not a JPEG, PNG, GIF, WebP, BMP, TIFF or PNM file")
		return
	}
	a, applied, reason := p.Default, 0.522, "default"
	if q.Get("model") == "fashion-dense" {
		a, applied = p.Answers[len(p.Answers)-1], 1
	}
	out := object{"model": q.Get("model"), "version": "1", "id": strconv.Itoa(len(f.asked))}
	for _, name := range []string{"compute_budget", "compute_budget_max"} {
		if !q.Has(name) {
			continue
		}
		v, err := strconv.ParseFloat(q.Get(name), 64)
		if err != nil || !(v > 0 && v <= 1) {
			refuse(w, http.StatusBadRequest, "%s=%s: give a share above 0, at most 1", name, q.Get(name))
			return
		}
		a, reason = p.Answers[f.rung(v)], "client"
		if name == "compute_budget" {
			applied = v
		} else {
			out[name] = v
		}
	}
	time := 0.3 + 1.6*float64(a.MACs)/cannedDenseMACs
	for name, v := range (object{"top": a.Top, "token_blocks": a.TokenBlocks,
		"token_share": float64(a.TokenBlocks) / cannedDenseBlocks, "mean_depth": a.MeanDepth, "blocks": a.Blocks,
		"macs": a.MACs, "dense_token_blocks": cannedDenseBlocks, "dense_macs": cannedDenseMACs,
		"compute_budget_applied": applied, "budget_reason": reason,
		"times": object{"decode_ms": 0.2, "queue_ms": 0.1, "inference_ms": time, "total_ms": time + 0.4}}) {
		out[name] = v
	}
	if q.Get("depth") == "json" {
		out["depth"], out["grid"], out["layers"] = a.Depth, []int{7, 7}, cannedLayers
		out["picture"] = "data:image/png;base64," + base64.StdEncoding.EncodeToString(p.PNG)
	}
	w.Header().Set("X-Request-Id", strconv.Itoa(len(f.asked)))
	w.Header().Set("Server-Timing", fmt.Sprintf("decode;dur=0.2, queue;dur=0.1, infer;dur=%.2f", time))
	reply(w, http.StatusOK, out)
}

// rung is the last one whose mean is no more than share, or the first.
func (f *fake) rung(share float64) int {
	at := 0
	for i, r := range f.Rungs {
		if r.Mean <= share+1e-3 {
			at = i
		}
	}
	return at
}
