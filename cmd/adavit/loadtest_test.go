package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLoadCommand runs bench --url against a server that always answers.
func TestLoadCommand(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"model":"shoes","compute_budget_applied":0.5,"budget_reason":"client"}`)
	}))
	defer server.Close()
	plot := filepath.Join(t.TempDir(), "latency.svg")
	args := []string{"bench", "--url", server.URL, "--model", "shoes", "--rate", "50,100", "--duration", "200ms",
		"--warmup", "10ms", "--arrivals", "constant", "--slo", "1m", "--timeout", "1m", "--budget", "0.5", "--out", plot}
	var out, errs strings.Builder
	if status := run(t.Context(), args, nil, &out, &errs); status != exitDone {
		t.Fatalf("status %d: %s", status, &errs)
	}
	for _, want := range []string{server.URL + ", model shoes, classify requests, constant arrivals, budget 0.5\n",
		"requests/s  sent  ok %", "\n        50    10   100", "\n       100    20   100",
		"100 requests/s: budgets by client 20 ×"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if svg, err := os.ReadFile(plot); err != nil || !strings.Contains(string(svg), "objective") {
		t.Errorf("%s: %v", svg, err)
	}
	out.Reset()
	args = append(args[:len(args)-2], "--json")
	if status := run(t.Context(), args, nil, &out, &errs); status != exitDone || errs.Len() > 0 ||
		!strings.Contains(out.String(), `"rates":[{"rate":50,"seconds":0.2,"scheduled":10,"sent":10,"answers":{"200":10},`) {
		t.Errorf("status %d: %s, %s", status, &errs, &out)
	}
}
