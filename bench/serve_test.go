package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/tools"
)

// playServers lets the test binary be adavit and the peer's Python; it skips where servers cannot be measured.
func playServers(t *testing.T) (cache string) {
	t.Helper()
	if _, err := exec.LookPath("taskset"); err != nil || runtime.NumCPU() < 2 {
		t.Skip("no taskset, or one CPU")
	}
	if testing.Short() {
		t.Skip("takes some ten seconds")
	}
	t.Setenv("BENCH_TEST_ADAVIT", "1")
	return t.TempDir()
}

// runServers runs the program and returns what it printed.
func runServers(t *testing.T, cache string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"-serve-models", "micro", "-serve-time", "200ms", "-serve-rounds", "1", "-adavit", os.Args[0],
		"-cache", cache}, args...)
	if status := run(t.Context(), args, &stdout, &stderr); status != 0 {
		t.Fatalf("status %d: %s", status, &stderr)
	}
	return stdout.String()
}

// TestServe measures fake servers of which ours is the fastest, and writes its section into a page.
func TestServe(t *testing.T) {
	cache := playServers(t)
	venv := filepath.Join(cache, "fastapi", "venv", "bin")
	if err := os.MkdirAll(venv, 0o777); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(cache, "page.md")
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		filepath.Join(venv, "python"):                    "#!/bin/sh\nBENCH_TEST_PYTHON=1 exec '" + self + "' \"$@\"\n",
		filepath.Join(cache, "fastapi", "installed.txt"): strings.Join(fastAPIPackages, "\n") + "\n",
		page: "# Benchmarks\n\n## Side by side\n\nfigures\n\n## Commands\n\n    make bench-peers\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	out := runServers(t, cache, "-serve", "-out", page)
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), "# Benchmarks\n\n## Side by side\n\nfigures\n\n"+serversHeading+"\n\n") ||
		!strings.HasSuffix(string(text), "\n\n## Commands\n\n    make bench-peers\n") ||
		!strings.Contains(string(text), out) {
		t.Errorf("the page became\n%s", text)
	}
	for _, want := range []string{
		`\| capacity, int8 \| micro \| FastAPI int8 \w+ \| 3 × \| \d+\.\d\d .* \| (met|NOT MET) \|`,
		`\| memory, int8 halting \| micro \|`, `\| first answer, int8 \| micro \|  \| within 150 ms \| \d+ ms \|`,
		`\| throughput, int8, tensors in, requests of 1 \| micro \| its engine \| 90 % \| \d+\.\d % \|`,
		`\| throughput, int8, tensors in, requests of 8 \| micro \| its engine \| 90 % \| \d+\.\d % \|`,
		`\| median beside inference, int8, tensors in \| micro \| its engine \| at most 0.3 ms \| \d+\.\d\d ms \|`,
		`\| adavit int8 halting \| \d+.* \| 16 of 16 \|`, `\| FastAPI int8 static \| \d+.* MB \|.* \| 16 of 16 \|`,
		`FastAPI f32: 1 worker, 1 thread of ONNX Runtime each, model in threads\.`,
		`FastAPI: fastapi \S+, uvicorn .*; Python 3\.0\.0`, `\| micro \| 100 \(100–100\) \| \d+`,
		`    CACHE/fastapi/venv/bin/python CACHE/fastapi/fastapi_quantize.py CACHE/serve/micro/dense.onnx `,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s in the section", want)
		}
	}
	if strings.Contains(out, cache) {
		t.Error("the section names a folder of this machine")
	}
	if t.Failed() {
		t.Log(out)
	}
}

// TestServeAlone: without Python the peer is left out, and a note says so.
func TestServeAlone(t *testing.T) {
	cache := playServers(t)
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(taskset, filepath.Join(bin, "taskset")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	out := runServers(t, cache, "-serve", "-serve-time", "60ms", "-out", filepath.Join(cache, "page.md"))
	if !strings.Contains(out, "FastAPI was left out: not on this machine") || !strings.Contains(out, "| adavit int8 |") {
		t.Error(out)
	}
}

// TestOverload runs the experiment on a fake server, to which arms are all the same.
func TestOverload(t *testing.T) {
	cache := playServers(t)
	folder := filepath.Join(cache, "overload")
	out := runServers(t, cache, "-overload", "-serve-rounds", "2", "-overload-n", "1,2", "-overload-out", folder, "-slo",
		"200ms")
	for _, want := range []string{`## micro\n\nCapacity \d+`, `\| 1 \| no control \| \d+`, `\| 2 \| degrade \| \d+`,
		`\| degrade: goodput \| 1\.5 × shed's \| \d\.\d\d × \| NOT MET \|`, `!\[p99\]\(micro-p99\.svg\)`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	for _, name := range []string{"micro-p99.svg", "micro-goodput.svg", overloadReport} {
		if text, err := os.ReadFile(filepath.Join(folder, name)); err != nil || len(text) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	var all []overloadOf
	text, err := os.ReadFile(filepath.Join(folder, "overload.json"))
	if err != nil || json.Unmarshal(text, &all) != nil || len(all) != 1 || len(all[0].Cells) != 6 ||
		len(all[0].Cells[5].Rounds) != 2 || len(all[0].Capacity) != 2 {
		t.Fatalf("%v: %s", err, text)
	}
	x, rate := all[0], all[0].Cells[5].Rounds[1]
	if x.Cells[5].Arm != degradeArm || x.Cells[5].N != 2 || math.Abs(rate.Rate/x.Nominal-2) > 1e-3 ||
		math.Abs(x.Nominal/spanOf(x.Capacity).value-nominalLoad) > 1e-9 || rate.Reasons["load"] != rate.Answers["200"] {
		t.Errorf("%+v", x)
	}
}

// TestOverloadClaims holds made-up figures against what was asked for.
func TestOverloadClaims(t *testing.T) {
	cell := func(arm string, p99, success, goodput float64) *overloadCell {
		c := &overloadCell{Arm: arm, N: 2}
		for _, off := range []float64{0.9, 1, 1.2} {
			c.Rounds = append(c.Rounds, tools.RateResult{Success: success, Goodput: goodput * off,
				Latency: &tools.Latency{P99: p99 * off}})
		}
		return c
	}
	x := overloadOf{Model: "m", SLO: 100, Nominal: 50, Capacity: []float64{83}, Cells: []*overloadCell{
		cell(noControlArm, 500, 1, 3), cell(shedArm, 90, 0.5, 40), cell(degradeArm, 95, 0.9995, 64)}}
	for i, want := range []bool{true, true, true, true} {
		if c := x.claims()[i]; c.met != want {
			t.Errorf("%+v", c)
		}
	}
	x.Cells = []*overloadCell{cell(noControlArm, 80, 1, 3), cell(shedArm, 90, 0.5, 60), cell(degradeArm, 105, 0.9, 64)}
	for _, c := range x.claims() {
		if c.met {
			t.Errorf("%+v", c)
		}
	}
	x.Cells = nil
	if x.claims() != nil {
		t.Error("claims about what was not tried")
	}
}

// TestSection: a section is found, replaced and kept, wherever it stands.
func TestSection(t *testing.T) {
	const ours, other = serversHeading + "\n\nold\n\n### more\n", "## Other\n\ntext\n"
	for name, c := range map[string][2]string{
		"none":                {other, other + "\nNEW\n"},
		"no page":             {"", "NEW\n"},
		"last":                {other + "\n" + ours, other + "\nNEW\n"},
		"between":             {other + "\n" + ours + "\n" + other, other + "\nNEW\n\n" + other},
		"before the commands": {other + "\n## Commands\n", other + "\nNEW\n\n## Commands\n"},
	} {
		file := filepath.Join(t.TempDir(), "page.md")
		if c[0] != "" {
			if err := os.WriteFile(file, []byte(c[0]), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if err := replaceSection(file, "NEW\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != c[1] {
			t.Errorf("%s: %q, want %q (%v)", name, got, c[1], err)
		}
	}
	file := filepath.Join(t.TempDir(), "page.md")
	if got := keepSection(file, other); got != other {
		t.Errorf("of no page: %q", got)
	}
	if err := os.WriteFile(file, []byte(other+"\n"+ours+"\n## Commands\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	const page = "## New\n\n## Commands\n\n    x\n"
	if got, want := keepSection(file, page), "## New\n\n"+ours+"\n## Commands\n\n    x\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestServerFails: a server that cannot start says why.
func TestServerFails(t *testing.T) {
	playServers(t)
	s := server{args: func(string) []string { return []string{"sh", "-c", "echo no model >&2; exit 3"} }}
	if _, err := launch(t.Context(), s, "0", nil); err == nil || !strings.Contains(err.Error(), "no model") {
		t.Errorf("%v", err)
	}
	s = server{args: func(address string) []string { return []string{os.Args[0], "serve", "--http", address} }}
	r, err := launch(t.Context(), s, "0", []byte("picture"))
	if err != nil {
		t.Fatal(err)
	}
	held, err := r.memory()
	if err != nil || held.rss < 1<<20 || held.pss < 1<<19 || held.pss > held.rss || r.startup <= 0 {
		t.Errorf("%+v, %v", held, err)
	}
	r.stop()
	if _, err := r.memory(); err == nil {
		t.Error("memory of a server that has ended")
	}
}

func TestCores(t *testing.T) {
	for cpus, want := range map[string]int{"0": 1, "0,1": 2, "0-3": 4, "0-1,4,6-7": 5} {
		if got := cores(cpus); got != want {
			t.Errorf("%s: %d, want %d", cpus, got, want)
		}
	}
	if got := len(settings(1)); got != 2 {
		t.Errorf("%d settings of one core", got)
	}
	rate, runs := lotRate(0.6, 12), 0.0
	for l := range 12 {
		runs += math.Pow(1-rate, float64(l)) / 12
	}
	if math.Abs(runs-0.6) > 1e-6 {
		t.Errorf("at a rate of %v tokens run in %v of the blocks", rate, runs)
	}
}
