package serve

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// withoutLadder writes a small adaptive model.
func withoutLadder(t testing.TB) Source {
	t.Helper()
	dir := t.TempDir()
	if err := vit.Save(dir, modeltest.Small(t, true), weights.F32); err != nil {
		t.Fatal(err)
	}
	return Source{"small", dir}
}

// TestVersions serves a directory of versions, the highest by default, and loads one that comes later.
func TestVersions(t *testing.T) {
	dir := t.TempDir()
	save := func(version string) {
		if err := vit.Save(filepath.Join(dir, version), modeltest.Small(t, true), weights.F32); err != nil {
			t.Fatal(err)
		}
	}
	save("2")
	save("10")
	if err := os.Mkdir(filepath.Join(dir, "notes"), 0o755); err != nil {
		t.Fatal(err)
	}
	s, h := start(t, Options{Threads: 1}, Source{"m", dir})
	file := pictures(t, modeltest.Fashion(t), 1)[0]
	classify := func(query, want string) {
		t.Helper()
		got := answer[map[string]any](t, "POST", h.URL+"/v1/classify"+query, file)
		if got["version"] != want {
			t.Errorf("%q is answered by version %v, want %s", query, got["version"], want)
		}
	}
	classify("", "10")
	classify("?version=2", "2")
	save("11")
	classify("", "10")
	if resp, b := call(t, "POST", h.URL+"/v2/repository/models/m/load", nil); resp.StatusCode != http.StatusOK {
		t.Fatalf("load: %s", b)
	}
	classify("", "11")
	index := answer[[]Status](t, "POST", h.URL+"/v2/repository/index", nil)
	if len(index) != 3 || index[0] != (Status{"m", "2", stateReady, ""}) {
		t.Errorf("index: %v", index)
	}
	if resp, b := call(t, "POST", h.URL+"/v2/repository/models/m/unload", []byte("{}")); resp.StatusCode != http.StatusOK {
		t.Fatalf("unload: %s", b)
	}
	if resp, _ := call(t, "POST", h.URL+"/v1/classify", file); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("an unloaded model answers %s", resp.Status)
	}
	if ready, err := s.Ready("m", ""); ready || err != nil {
		t.Errorf("an unloaded model is ready: %v, %v", ready, err)
	}
	index = answer[[]Status](t, "POST", h.URL+"/v2/repository/index", []byte(`{"ready": true}`))
	if len(index) != 0 {
		t.Errorf("index of ready models: %v", index)
	}
}

// TestReload loads a model again and again while it is asked: no request is lost. Then its files are spoilt: the load
// fails, says why, and the old model goes on.
func TestReload(t *testing.T) {
	source := withoutLadder(t)
	s, h := start(t, Options{Threads: 2}, source)
	file := pictures(t, modeltest.Fashion(t), 1)[0]
	var stop atomic.Bool
	var answered atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				if resp, b := call(t, "POST", h.URL+"/v1/classify", file); resp.StatusCode != http.StatusOK {
					t.Errorf("during a reload: %s, %s", resp.Status, b)
					return
				}
				answered.Add(1)
			}
		})
	}
	for range 20 {
		if err := s.Reload(t.Context()); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	clients.Wait()
	if answered.Load() == 0 {
		t.Error("nothing was asked during the reloads")
	}
	if err := os.Truncate(filepath.Join(source.Path, "model.safetensors"), 100); err != nil {
		t.Fatal(err)
	}
	resp, b := call(t, "POST", h.URL+"/v2/repository/models/small/load", nil)
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(b), "model.safetensors") {
		t.Errorf("loading a damaged model: %s, %s", resp.Status, b)
	}
	if index := s.models.index(false); index[0].State != stateReady || !strings.Contains(index[0].Reason, "from before") {
		t.Errorf("index after a failed load: %v", index)
	}
	answer[classified](t, "POST", h.URL+"/v1/classify", file)
}

// TestDrain ends a server with a request under way: it is not ready any more, and answers what it has begun.
func TestDrain(t *testing.T) {
	s, err := New(t.Context(), Options{Models: []Source{bundled}, HTTP: "127.0.0.1:0", Threads: 1,
		DrainDelay: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	address := s.Addresses()["http"]
	slow, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	file := pictures(t, modeltest.Fashion(t), 1)[0]
	head := "POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: " + strconv.Itoa(len(file)) + "\r\n\r\n"
	if _, err := slow.Write([]byte(head + string(file[:10]))); err != nil {
		t.Fatal(err)
	}
	answer[map[string]bool](t, "GET", "http://"+address+"/v2/health/ready", nil)
	cancel()
	for s.draining.Load() == false {
		time.Sleep(time.Millisecond)
	}
	if resp, _ := call(t, "GET", "http://"+address+"/v2/health/ready",
		nil); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a draining server is %s", resp.Status)
	}
	if resp, _ := call(t, "GET", "http://"+address+"/v2/health/live", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("a draining server is dead: %s", resp.Status)
	}
	if _, err := slow.Write(file[10:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 12)
	if _, err := slow.Read(b); err != nil || string(b) != "HTTP/1.1 200" {
		t.Errorf("the request under way got %q, %v", b, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
