package bound

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// server runs a handler whose connections count, and waits for its answers to be asked for.
func server(t *testing.T, limit int, tls bool, handler http.HandlerFunc) (*httptest.Server, *Connections) {
	t.Helper()
	c := NewConnections(limit)
	s := httptest.NewUnstartedServer(handler)
	s.Listener = c.Listen(s.Listener)
	if s.Config.ConnState = c.State; tls {
		s.StartTLS() // it calls a ConnState that is there
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s, c
}

// client opens a connection that sends and reads requests by hand.
type client struct {
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, addr string) client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return client{c, bufio.NewReader(c)}
}

func (c client) get(path string) (string, error) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		return "", err
	}
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

// TestConnections: idle connections give way, the longest idle first; those at work do not, and then new ones are
// closed.
func TestConnections(t *testing.T) {
	release := make(chan struct{})
	working := make(chan struct{})
	s, c := server(t, 3, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/work" {
			working <- struct{}{}
			<-release
		}
		io.WriteString(w, "ok")
	})
	addr := s.Listener.Addr().String()
	ok := func(c client, path string) {
		t.Helper()
		if got, err := c.get(path); got != "ok" || err != nil {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	counts := func(open int, evicted, refused int64) {
		t.Helper()
		var o int
		var e, r int64
		if !soon(func() bool {
			o, _, e, r = c.Counts()
			return o == open && e == evicted && r == refused
		}) {
			t.Errorf("%d open, %d evicted, %d refused; want %d, %d, %d", o, e, r, open, evicted, refused)
		}
	}
	idle := func(want int) {
		t.Helper()
		if !soon(func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.idle.Len() == want
		}) {
			t.Fatalf("never were %d connections idle", want)
		}
	}
	closed := func(name string, c client) {
		t.Helper()
		if _, err := c.r.ReadByte(); err == nil {
			t.Errorf("%s is open", name)
		}
	}

	first, second, third := dial(t, addr), dial(t, addr), dial(t, addr)
	counts(3, 0, 0)
	for _, c := range []client{first, second, first, third, first} {
		ok(c, "/")
		idle(3) // or the order in which they became so would be anybody's guess
	}
	fourth := dial(t, addr)
	ok(fourth, "/")
	closed("the longest idle", second)
	counts(3, 1, 0)

	done := make(chan error, 3)
	for _, c := range []client{first, third, fourth} {
		go func() {
			_, err := c.get("/work")
			done <- err
		}()
		select {
		case <-working:
		case err := <-done:
			t.Fatalf("a connection that should be at work: %v", err)
		}
	}
	closed("one too many", dial(t, addr))
	counts(3, 1, 1)
	close(release)
	for range 3 {
		if err := <-done; err != nil {
			t.Errorf("a connection at work: %v", err)
		}
	}
	third.Close()
	counts(2, 1, 1)
	ok(dial(t, addr), "/")
	counts(3, 1, 1)
}

// soon reports whether something becomes true: a server notices a little later what has become of a connection.
func soon(done func() bool) bool {
	for range 1000 {
		if done() {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

// TestConnectionsTLS: behind TLS the server speaks of another connection than the listener made.
func TestConnectionsTLS(t *testing.T) {
	s, c := server(t, 2, true, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	for range 5 {
		transport := s.Client().Transport.(*http.Transport).Clone()
		defer transport.CloseIdleConnections()
		r, err := (&http.Client{Transport: transport}).Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
		time.Sleep(10 * time.Millisecond)
	}
	if open, _, evicted, refused := c.Counts(); open > 2 || evicted < 3 || refused != 0 {
		t.Errorf("%d open, %d evicted, %d refused", open, evicted, refused)
	}
}

// TestFewDescriptors: a process with 64 file descriptors answers while more connections than that are open.
func TestFewDescriptors(t *testing.T) {
	const child = "BOUND_TEST_CHILD"
	if runtime.GOOS != "linux" {
		t.Skip("needs a shell's ulimit")
	}
	if os.Getenv(child) == "" {
		cmd := exec.Command("/bin/sh", "-c", `ulimit -n 64; exec "$0" "$@"`, os.Args[0], "-test.run=^TestFewDescriptors$",
			"-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "PASS: TestFewDescriptors") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	s, c := server(t, 10000, false, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	if _, limit, _, _ := c.Counts(); limit != 32 {
		t.Errorf("%d connections are allowed with 64 descriptors", limit)
	}
	held := make([]*os.File, 0, 64) // as models and logs hold them
	for len(held) < 45 {
		f, err := os.Open(os.Args[0])
		if err != nil {
			break
		}
		defer f.Close()
		held = append(held, f)
	}
	for range 20 { // both ends are in this process: some Accept finds no descriptor
		if nc, err := net.Dial("tcp", s.Listener.Addr().String()); err == nil {
			defer nc.Close()
		}
	}
	for _, f := range held[:5] {
		f.Close()
	}
	if got, err := dial(t, s.Listener.Addr().String()).get("/"); got != "ok" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestBody sends bodies that are good, too large, and too slow, over HTTP/1.1.
func TestBody(t *testing.T) {
	const limit, patience, rate = 1 << 20, 300 * time.Millisecond, 1 << 20
	ended := make(chan error, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(Body(w, r, limit, patience, 0, rate))
		_, large := errors.AsType[*http.MaxBytesError](err)
		switch {
		case errors.Is(err, ErrSlow):
			http.Error(w, err.Error(), http.StatusRequestTimeout)
		case large:
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
		default:
			select { // a deadline that is left over would end the request
			case <-r.Context().Done():
			case <-time.After(2 * patience):
			}
			ended <- r.Context().Err()
			fmt.Fprint(w, len(b))
		}
	}))
	defer s.Close()
	for _, c := range []struct {
		name   string
		body   io.Reader
		status int
		want   string
	}{
		{"good", bytes.NewReader(make([]byte, limit)), 200, "1048576"},
		{"too large", bytes.NewReader(make([]byte, limit+1)), 413, "too large"},
		{"a byte now and then", &dripping{n: 20, every: patience / 4}, 408, "the body came too slowly"},
		{"nothing for long", &dripping{n: 1, every: 20 * patience}, 408, "0 bytes in"},
	} {
		r, err := http.Post(s.URL, "application/octet-stream", c.body)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		text, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != c.status || !strings.Contains(string(text), c.want) {
			t.Errorf("%s: %d, %q; want %d, %q", c.name, r.StatusCode, text, c.status, c.want)
		}
		if c.status == 200 {
			if err := <-ended; err != nil {
				t.Errorf("%s: the request ended while it was answered: %v", c.name, err)
			}
		}
	}
}

// dripping is a body of n bytes that come one by one.
type dripping struct {
	n     int
	every time.Duration
}

func (d *dripping) Read(p []byte) (int, error) {
	if d.n == 0 {
		return 0, io.EOF
	}
	time.Sleep(d.every)
	d.n--
	p[0] = 'x'
	return 1, nil
}

// TestBodyRate: a body may take as long as its size allows, and no longer; nor may it come at once and then stall, or
// take longer than bodies may in all.
func TestBodyRate(t *testing.T) {
	for _, c := range []struct {
		chunk int
		stall time.Duration // after half of the chunks
		most  time.Duration
		slow  bool
	}{{1000, 0, 0, false}, {900, 0, 0, true}, {100_000, time.Second, 0, false}, {100_000, 3 * time.Second, 0, true},
		{1000, 0, 61 * time.Second, false}, {1000, 0, 50 * time.Second, true}} {
		synctest.Test(t, func(t *testing.T) {
			w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
			r := httptest.NewRequest("POST", "/", nil)
			r.Body = &sending{w: w, chunks: 60, size: c.chunk, stall: c.stall}
			buffer := make([]byte, c.chunk)
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, Body(w, r, 1<<23, 2*time.Second, c.most, 1000), buffer)
			if errors.Is(err, ErrSlow) != c.slow || !c.slow && (err != nil || n != int64(60*c.chunk)) {
				t.Errorf("%+v: %d bytes, %v", c, n, err)
			}
			if !c.slow && !w.deadline.IsZero() {
				t.Errorf("deadline %v is left over", w.deadline)
			}
		})
	}
}

// deadlines is a connection whose reads know their deadline.
type deadlines struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.deadline = at
	return nil
}

// sending sends a chunk each second, and stalls for longer in the midst of it.
type sending struct {
	w            *deadlines
	chunks, size int
	stall        time.Duration
}

func (s *sending) Close() error { return nil }

func (s *sending) Read(p []byte) (int, error) {
	if s.chunks == 0 {
		return 0, io.EOF
	}
	wait := time.Second
	if s.chunks == 30 {
		wait += s.stall
	}
	if next := time.Now().Add(wait); next.After(s.w.deadline) {
		time.Sleep(time.Until(s.w.deadline))
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(wait)
	s.chunks--
	return s.size, nil
}
