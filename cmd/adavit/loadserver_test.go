//go:build linux && !purego

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/tools"
)

// TestLoadServer runs bench --url against the server of this program, by both APIs: all is answered, within the budget
// that was asked for.
func TestLoadServer(t *testing.T) {
	s := startServer(t)
	for _, api := range []string{"classify", "v2"} {
		args := []string{"bench", "--url", s.http, "--api", api, "--rate", "50", "--duration", "300ms", "--warmup", "0s",
			"--arrivals", "constant", "--timeout", "1m", "--budget", "0,0.5", "--json"}
		var out, errs strings.Builder
		if status := run(t.Context(), args, nil, &out, &errs); status != exitDone {
			t.Fatalf("%s: status %d: %s", api, status, &errs)
		}
		var r tools.LoadResult
		if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
			t.Fatal(err)
		}
		if x := r.Rates[0]; r.Model != "fashion-adaptive" || x.Success != 1 || x.Scheduled < 14 || x.Latency == nil ||
			x.Budget > 0.5 || x.Budget <= 0 || x.Reasons["client"] != x.Scheduled {
			t.Errorf("%s: %s", api, &out)
		}
	}
}
