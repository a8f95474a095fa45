//go:build linux && !purego

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// server is `adavit serve` in a process of its own.
type server struct {
	http, grpc string // addresses
	cmd        *exec.Cmd
	done       chan struct{} // closed when the process has ended
	err        error         // of the process, then

	mu  sync.Mutex
	log strings.Builder
}

// startServer runs it with a bundled model and one thread on free ports of the loopback interface, and waits until it
// answers.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	return startServerBy(t, "", nil, append([]string{"--threads", "1"}, args...)...)
}

// startServerBy runs it by a script of the shell, which gets the server's command as its arguments. The command is
// changed first, if prepare is not nil.
func startServerBy(t testing.TB, script string, prepare func(*exec.Cmd), args ...string) *server {
	t.Helper()
	args = append([]string{"serve", "--model", "fashion-adaptive", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0",
		"--admin", "off"}, args...)
	s := &server{cmd: self(args...), done: make(chan struct{})}
	if script != "" { // what is run goes by its name, see self
		link := filepath.Join(t.TempDir(), "adavit")
		if err := os.Symlink(s.cmd.Path, link); err != nil {
			t.Fatal(err)
		}
		s.cmd = exec.Command("/bin/sh", append([]string{"-c", script, link}, args...)...)
	}
	if prepare != nil {
		prepare(s.cmd)
	}
	errs, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan []string, 1)
	go func() {
		lines := bufio.NewScanner(errs)
		for lines.Scan() {
			if m := serving.FindStringSubmatch(lines.Text()); m != nil {
				ready <- m
			}
			s.mu.Lock()
			s.log.WriteString(lines.Text() + "\n")
			s.mu.Unlock()
		}
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		<-s.done
		if t.Failed() {
			t.Logf("the server's log:\n%.20000s", s.text())
		}
	})
	select {
	case m := <-ready:
		s.http, s.grpc = m[1], m[2]
	case <-s.done:
		t.Fatalf("the server ended: %v\n%s", s.err, s.text())
	case <-time.After(time.Minute):
		t.Fatalf("the server does not say that it answers:\n%s", s.text())
	}
	return s
}

var serving = regexp.MustCompile(`^serving http=(\S+) grpc=(\S+)`)

func (s *server) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// alive reports whether the process still runs.
func (s *server) alive() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// stop sends a signal and returns what the process ends with.
func (s *server) stop(t testing.TB, signal syscall.Signal) error {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.done:
	case <-time.After(time.Minute):
		t.Fatalf("the server goes on after %v", signal)
	}
	return s.err
}

// status returns a value of /proc/PID/status in bytes, or its number as it is.
func (s *server) status(t testing.TB, name string) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			f := strings.Fields(rest)
			n, err := strconv.ParseInt(f[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if len(f) > 1 {
				n <<= 10
			}
			return n
		}
	}
	t.Fatalf("no %s in /proc/PID/status", name)
	return 0
}

// peak returns the most memory that the process has held since the last call, in bytes.
func (s *server) peak(t testing.TB) int64 {
	t.Helper()
	most := s.status(t, "VmHWM")
	// 5 resets it (proc(5)); where that is not allowed, it stays the peak of all time.
	os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0)
	return most
}

// load reads GET /v1/load.
func (s *server) load(t testing.TB) (l struct {
	InFlight int `json:"in_flight"`
	Queue    int `json:"queue"`
	Threads  int `json:"threads"`
}) {
	t.Helper()
	r, err := http.Get("http://" + s.http + "/v1/load")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&l); err != nil {
		t.Fatal(err)
	}
	return l
}

// eventually waits until something holds, ten seconds at most.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for begin := time.Now(); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// photo is a picture of the given size as a PNG file.
func photo(t testing.TB, width, height int) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = uint8(i)
	}
	img.SetGray(0, 0, color.Gray{255})
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// classify sends a picture, and returns the answer's status.
func classify(ctx context.Context, client *http.Client, addr string, file []byte) (int, error) {
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+addr+"/v1/classify", bytes.NewReader(file))
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return resp.StatusCode, err
	}
	return resp.StatusCode, nil
}

// bystander is a client that does nothing wrong: it classifies a picture, again and again, and wants each answered.
type bystander struct {
	stop  context.CancelFunc
	done  chan struct{}
	times []time.Duration
	errs  []error
}

func newBystander(t testing.TB, addr string) *bystander {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	b := &bystander{stop: stop, done: make(chan struct{})}
	file := photo(t, 28, 28)
	client := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
	go func() {
		defer close(b.done)
		defer client.CloseIdleConnections()
		for ctx.Err() == nil {
			begin := time.Now()
			status, err := classify(context.Background(), client, addr, file)
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("status %d", status)
			}
			if err != nil {
				b.errs = append(b.errs, err)
			}
			b.times = append(b.times, time.Since(begin))
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return b
}

// end stops it, and returns its 99th percentile and what went wrong, nil if nothing did.
func (b *bystander) end() (p99 time.Duration, answered int, err error) {
	b.stop()
	<-b.done
	slices.Sort(b.times)
	if len(b.times) > 0 {
		p99 = b.times[min(len(b.times)*99/100, len(b.times)-1)]
	}
	return p99, len(b.times) - len(b.errs), errors.Join(b.errs[:min(len(b.errs), 5)]...)
}

// dial opens a connection whose reads and writes end within a minute.
func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c
}
