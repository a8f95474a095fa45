//go:build linux && !purego

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestServeSoak keeps a server busy with everything at once for as long as ADAVIT_SOAK says (10m, say): pictures good
// and bad, tensors, forms, clients that hang up, reloads. In the end it holds no more memory, goroutines and files than
// it did after a tenth of the time.
func TestServeSoak(t *testing.T) {
	text := os.Getenv("ADAVIT_SOAK")
	if text == "" {
		t.Skip("ADAVIT_SOAK is not set")
	}
	span, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	s := startServer(t, "--slo", "200ms")
	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()
	good, large := photo(t, 28, 28), photo(t, 1200, 900)
	form := "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n" + string(good) +
		"\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"b\"\r\n\r\nno picture\r\n--b--\r\n"
	tensor := `{"inputs":[{"name":"input","datatype":"FP32","shape":[1,1,28,28],"data":[` +
		strings.TrimSuffix(strings.Repeat("0,", 784), ",") + `]}]}`
	var mu sync.Mutex
	answers := map[string]int{}
	count := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		answers[what]++
	}
	post := func(path, kind string, body []byte, patience time.Duration) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.http+path, bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("Content-Type", kind)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			count("hung up")
			return
		}
		resp.Body.Close()
		count(strconv.Itoa(resp.StatusCode))
		if resp.StatusCode == 500 {
			t.Errorf("%s: status 500", path)
		}
	}
	var wg sync.WaitGroup
	for _, work := range []func(){
		func() { post("/v1/classify?depth=json", "", good, time.Minute) },
		func() { post("/v1/classify", "", large, time.Minute) },
		func() { post("/v1/classify", "", large[:len(large)/2], time.Minute) },
		func() { post("/v1/classify", "multipart/form-data; boundary=b", []byte(form), time.Minute) },
		func() { post("/v2/models/fashion-adaptive/infer", "", []byte(tensor), time.Minute) },
		func() { post("/v1/classify", "", large, 10*time.Millisecond) },
		func() { s.cmd.Process.Signal(syscall.SIGHUP); time.Sleep(5 * time.Second) },
	} {
		wg.Go(func() {
			for ctx.Err() == nil {
				work()
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	select { // until caches and pools have what they need
	case <-ctx.Done():
	case <-time.After(span / 10):
	}
	s.peak(t)
	select {
	case <-ctx.Done():
	case <-time.After(span / 10):
	}
	before, files, routines := s.peak(t), s.files(t), s.metric(t, "go_goroutines")
	<-ctx.Done()
	wg.Wait()
	if !s.alive() {
		t.Fatalf("the server ended: %v", s.err)
	}
	t.Logf("%v: %v; memory %d MiB, then %d; files %d, then %d", span, answers, before>>20, s.status(t, "VmHWM")>>20, files,
		s.files(t))
	if after := s.status(t, "VmHWM"); after > before+before/2+16<<20 {
		t.Errorf("memory grew from %d MiB to %d", before>>20, after>>20)
	}
	http.DefaultClient.CloseIdleConnections()
	eventually(t, "as few goroutines and files as in the midst of it", func() bool {
		return s.metric(t, "go_goroutines") <= routines+5 && s.files(t) <= files+5
	})
	if answers["200"] == 0 || answers["422"] == 0 || answers["hung up"] == 0 {
		t.Errorf("answers %v", answers)
	}
	if err := s.stop(t, syscall.SIGTERM); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

// files counts the files that the process has open.
func (s *server) files(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// metric is the value of a metric without labels.
func (s *server) metric(t *testing.T, name string) float64 {
	t.Helper()
	text := send(t, s, "GET", "/metrics", nil).text
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no metric %s", name)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
