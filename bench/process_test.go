package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// start starts the test binary as a peer of the given kind, with three logits.
func start(t *testing.T, ctx context.Context, how string) (*process, error) {
	t.Helper()
	t.Setenv("BENCH_TEST_PEER", how)
	return startProcess(ctx, []string{os.Args[0]}, 3)
}

func TestProcess(t *testing.T) {
	p, err := start(t, t.Context(), "well")
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if p.version != "7" || p.held != 42 || p.note != "odd" {
		t.Errorf("version %q, held %d, note %q, want 7, 42 and odd", p.version, p.held, p.note)
	}
	for range 2 {
		ms, err := p.run(t.Context(), 0.01)
		if err != nil || len(ms) != 4 || ms[3] != 4 {
			t.Fatalf("run: %v, %v", ms, err)
		}
		logits, err := p.logits(t.Context())
		if err != nil || len(logits) != 3 || logits[1] != -1 {
			t.Fatalf("logits: %v, %v", logits, err)
		}
	}
}

// TestBadProcess: whatever a peer does, the error says it, and nothing waits for ever.
func TestBadProcess(t *testing.T) {
	for how, want := range map[string]string{"dies": "no such model", "babbles": "not a line of the protocol",
		"refuses": "out of memory"} {
		if p, err := start(t, t.Context(), how); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v, want an error with %q", how, p, err, want)
		}
	}
	for how, want := range map[string]string{"dies later": "segmentation fault", "lazy": "only 1 batches",
		"lies": "took 0 ms"} {
		p, err := start(t, t.Context(), how)
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if ms, err := p.run(t.Context(), 0.01); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v, want an error with %q", how, ms, err, want)
		}
		if how == "lies" {
			if _, err := p.logits(t.Context()); err == nil || !strings.Contains(err.Error(), "1 logits, want 3") {
				t.Errorf("too few logits: %v", err)
			}
		}
		p.close()
	}
	if _, err := startProcess(t.Context(), []string{"./no-such-program"}, 3); err == nil {
		t.Error("a program that is not there was started")
	}
}

// TestProcessStops: the end of the context ends a peer that does not answer.
func TestProcessStops(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	p, err := start(t, ctx, "sleeps")
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, stop)
	if _, err := p.run(ctx, 0.01); err == nil {
		t.Error("no error")
	}
	begin := time.Now()
	p.close()
	if took := time.Since(begin); took > patience {
		t.Errorf("closing took %v", took)
	}
	if _, err := p.run(t.Context(), 0.01); err == nil {
		t.Error("a broken process was asked again")
	}
}
