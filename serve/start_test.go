package serve

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/usage"
)

// TestBadStart: what cannot be served is an error that says why, before any address is open.
func TestBadStart(t *testing.T) {
	plain, damaged := withoutLadder(t), withoutLadder(t)
	if err := os.WriteFile(filepath.Join(damaged.Path, "config.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says    string
		usage   bool
		options Options
		models  []Source
	}{
		{"no such file", false, Options{}, []Source{{"x", filepath.Join(t.TempDir(), "nothing")}}},
		{"holds neither config.json", false, Options{}, []Source{{"x", t.TempDir()}}},
		{"not a directory", false, Options{}, []Source{{"x", filepath.Join(plain.Path, "config.json")}}},
		{"model small", false, Options{}, []Source{damaged}},
		{"adavit calibrate", true, Options{Budget: infer.Budget{Mean: 0.5}}, []Source{plain}},
		{"a cap of", true, Options{Budget: infer.Budget{Max: 1e-5}}, []Source{plain}},
		{"--http is \"18555\"", true, Options{HTTP: "18555"}, []Source{{"x", "nothing"}}},
		{"--grpc is \":99999\"", true, Options{GRPC: ":99999"}, []Source{{"x", "nothing"}}},
		{"--slo -1s", true, Options{Objective: -1e9}, []Source{plain}},
		{"could lower nothing", true, Options{Objective: 1e9, Budget: infer.Budget{Mean: 0.3}, BudgetMin: 0.5},
			[]Source{plain}},
	} {
		o := c.options
		o.Threads, o.Models = 1, c.models
		if o.HTTP == "" {
			o.HTTP = "127.0.0.1:0"
		}
		s, err := New(context.Background(), o)
		if s != nil || err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, usage.Err) != c.usage {
			t.Errorf("%+v: %v, want an error with %q", c.options, err, c.says)
		}
	}
}

// TestNothingLeft: a server whose last model was unloaded is not ready, and says how to load it.
func TestNothingLeft(t *testing.T) {
	_, h := start(t, Options{Threads: 1}, withoutLadder(t))
	ready := func(want int) {
		t.Helper()
		if resp, b := call(t, "GET", h.URL+"/v2/health/ready", nil); resp.StatusCode != want {
			t.Errorf("ready: %s, %s", resp.Status, b)
		}
	}
	ready(http.StatusOK)
	call(t, "POST", h.URL+"/v2/repository/models/small/unload", nil)
	ready(http.StatusServiceUnavailable)
	resp, b := call(t, "POST", h.URL+"/v1/classify", []byte("x"))
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" ||
		!strings.Contains(string(b), "/v2/repository/models/small/load") {
		t.Errorf("%s, %s", resp.Status, b)
	}
	call(t, "POST", h.URL+"/v2/repository/models/small/load", nil)
	ready(http.StatusOK)
}
