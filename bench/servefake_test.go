package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/adavit/adavit/internal/tools"
)

// actAdavit plays the program that is measured: a server that answers the five classes that follow from a picture's
// bytes, after a millisecond, one at a time; and the generator, which is the real one.
func actAdavit(args []string) error {
	if args[0] == "serve" {
		return fakeServer(valueOf(args, "--http"), time.Millisecond)
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	var o tools.LoadOptions
	f.StringVar(&o.URL, "url", "", "")
	f.StringVar(&o.Images, "images", "", "")
	f.StringVar(&o.Like, "like", "", "")
	f.DurationVar(&o.Duration, "duration", 0, "")
	f.DurationVar(&o.Warmup, "warmup", 0, "")
	f.DurationVar(&o.SLO, "slo", 0, "")
	f.BoolVar(&o.FindCapacity, "find-capacity", false, "")
	f.IntVar(&o.Connections, "connections", 100, "")
	f.Uint64Var(&o.Seed, "seed", 1, "")
	api, rates := f.String("api", "classify", ""), f.String("rate", "", "")
	for _, name := range []string{"model", "precision", "threads", "seconds"} {
		f.String(name, "", "")
	}
	f.IntVar(&o.Batch, "batch", 1, "")
	f.Bool("json", false, "")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	var result any = tools.BenchResult{ImagesPerSecond: 100, P50: 4}
	if o.URL != "" {
		for _, text := range list(*rates) {
			var rate float64
			if _, err := fmt.Sscan(text, &rate); err != nil {
				return err
			}
			o.Rates = append(o.Rates, rate)
		}
		o.API, o.Arrivals, o.Timeout = tools.LoadAPI(*api), tools.Constant, 10*time.Second
		r, err := tools.LoadTest(context.Background(), o)
		if err != nil {
			return err
		}
		result = r
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// valueOf is the argument behind a flag.
func valueOf(args []string, flag string) string { return args[slices.Index(args, flag)+1] }

// fakeServer listens until it is ended.
func fakeServer(address string, service time.Duration) error {
	worker := make(chan struct{}, 1)
	return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/v2/repository/index":
			io.WriteString(w, `[{"name":"dense"}]`)
			return
		case !strings.HasPrefix(r.URL.Path, "/v1/classify") && !strings.HasSuffix(r.URL.Path, "/dense/infer"):
			http.NotFound(w, r)
			return
		}
		worker <- struct{}{}
		time.Sleep(service)
		<-worker
		first := sha256.Sum256(body)[0]
		var top []map[string]any
		for i := range 5 {
			top = append(top, map[string]any{"class": int(first) + i, "label": "x", "probability": 0.2})
		}
		w.Header().Set("Server-Timing", "infer;dur=0.25")
		json.NewEncoder(w).Encode(map[string]any{"model": "fake", "top": top, "compute_budget_applied": 0.5,
			"budget_reason": "load"})
	}))
}

// actPython plays the peer's Python: the quantising program, and uvicorn.
func actPython(args []string) error {
	switch {
	case args[0] == "--version":
		fmt.Println("Python 3.0.0")
		return nil
	case filepath.Base(args[0]) == "fastapi_quantize.py":
		onnx, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		if err := os.WriteFile(args[2], onnx, 0o666); err != nil {
			return err
		}
		return os.WriteFile(args[3], onnx, 0o666)
	case slices.Contains(args, "uvicorn"):
		service := 4 * time.Millisecond
		if os.Getenv("INLINE") == "1" {
			service = 20 * time.Millisecond
		}
		return fakeServer("127.0.0.1:"+valueOf(args, "--port"), service)
	}
	return fmt.Errorf("no such program: %q", args)
}
