package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary play the processes that the program starts: a peer, and itself measuring memory.
func TestMain(m *testing.M) {
	act := func(how func(args []string) error) {
		if err := how(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	switch {
	case os.Getenv("BENCH_TEST_PYTHON") != "":
		act(actPython)
	case os.Getenv("BENCH_TEST_ADAVIT") != "" && len(os.Args) > 1 && (os.Args[1] == "serve" || os.Args[1] == "bench"):
		act(actAdavit)
	case os.Getenv("BENCH_TEST_PEER") != "":
		actPeer(os.Getenv("BENCH_TEST_PEER"))
	case len(os.Args) > 1 && (os.Args[1] == memoryCommand || os.Args[1] == startCommand):
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	default:
		os.Exit(m.Run())
	}
}

// actPeer speaks the protocol, in the way that how says.
func actPeer(how string) {
	say := func(v any) {
		b, _ := json.Marshal(v)
		fmt.Println(string(b))
	}
	switch how {
	case "dies":
		fmt.Fprintln(os.Stderr, "no such model")
		os.Exit(3)
	case "babbles":
		fmt.Println("loading…")
	case "refuses":
		say(map[string]string{"error": "out of memory"})
		os.Exit(1)
	}
	if how == "settings" && os.Args[3] == "fails" {
		say(map[string]string{"error": "no compiler"})
		os.Exit(1)
	}
	say(map[string]any{"ready": true, "version": "7", "held": 42, "note": "odd"})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		switch {
		case how == "dies later":
			fmt.Fprintln(os.Stderr, "segmentation fault")
			os.Exit(139)
		case how == "sleeps":
			time.Sleep(time.Hour)
		case how == "settings" && os.Args[3] == "fast":
			say(map[string]any{"ms": []float64{1, 1, 1}})
		case how == "lazy":
			say(map[string]any{"ms": []float64{1}})
		case how == "lies":
			say(map[string]any{"ms": []float64{1, 0, 2}, "logits": []float64{1}})
		case strings.Contains(lines.Text(), "run"):
			say(map[string]any{"ms": []float64{1, 2, 3, 4}})
		case strings.Contains(lines.Text(), "logits"):
			say(map[string]any{"logits": []float64{0.5, -1, 2}})
		}
	}
}
