//go:build linux && !purego

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func badJSON(t *testing.T, s *server) {
	const path = "/v2/models/fashion-adaptive/infer"
	zeros := strings.TrimSuffix(strings.Repeat("0,", 784), ",")
	input := func(data string) string {
		return `{"inputs":[{"name":"input","datatype":"FP32","shape":[1,1,28,28],"data":[` + data + `]}]}`
	}
	for _, c := range []struct {
		name, body string
		status     int
	}{
		{"a good one", input(zeros), 200},
		{"NaN", input("NaN" + zeros[1:]), 400}, {"NaN as text", input(`"NaN"` + zeros[1:]), 400},
		{"infinity", input("1e39" + zeros[1:]), 400}, {"a number of a million digits", input(strings.Repeat("9", 1e6)), 400},
		{"a million brackets", `{"inputs":` + strings.Repeat("[", 1e6), 400},
		{"half a million objects", strings.Repeat(`{"a":`, 5e5), 400},
		{"a key twice", `{"id":"a","id":"b","inputs":[]}`, 400},
		{"a key twice, written differently", `{"id":"a","\u0069d":"b","inputs":[]}`, 400},
		{"a parameter twice", `{"parameters":{"compute_budget":1,"compute_budget":0.5},"inputs":[]}`, 400},
		{"not UTF-8", "{\"id\":\"\xff\",\"inputs\":[]}", 400}, {"half a pair", `{"id":"\ud800","inputs":[]}`, 400},
		{"a shape that overflows", strings.Replace(input(zeros), "[1,1,28,28]", "[4294967296,4294967296,28,28]", 1), 400},
		{"a shape of a million numbers", strings.Replace(input(zeros), "[1,1,28,28]",
			"[1"+strings.Repeat(",1", 1e6)+"]", 1), 400},
		{"a shape with a fraction", strings.Replace(input(zeros), "[1,1,28,28]", "[1.5,1,28,28]", 1), 400},
		{"a hundred thousand inputs", `{"inputs":[` + strings.Repeat(`{"name":"input"},`, 1e5) + `{}]}`, 400},
		{"a hundred thousand outputs", strings.TrimSuffix(input(zeros), "}") + `,"outputs":[` +
			strings.Repeat(`{"name":"depth"},`, 1e5) + `{"name":"depth"}]}`, 400},
		{"a hundred thousand parameters", `{"parameters":{` + parameters(1e5) + `},"inputs":[]}`, 400},
		{"a long name", `{"inputs":[{"name":"` + strings.Repeat("n", 1e6) + `","datatype":"FP32","shape":[1]}]}`, 400},
		{"a long id", strings.TrimSuffix(input(zeros), "}") + `,"id":"` + strings.Repeat("i", 1e6) + `"}`, 0},
		{"null", "null", 400}, {"nothing", "", 400}, {"two values", input(zeros) + input(zeros), 400},
	} {
		r := send(t, s, "POST", path, strings.NewReader(c.body))
		if c.status == 0 || c.status == http.StatusOK && r.status == http.StatusOK {
			continue
		}
		refused(t, c.name, r, c.status)
	}
}

// parameters are so many of an object, each with a name of its own.
func parameters(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"p%d":1,`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func badForms(t *testing.T, s *server) {
	part := func(header, body string) string { return "--b\r\n" + header + "\r\n\r\n" + body + "\r\n" }
	const file = `Content-Disposition: form-data; name="file"; filename="a.png"`
	good := string(photo(t, 28, 28))
	for _, c := range []struct {
		name, kind, body string
		statuses         []int
	}{
		{"a good one", "multipart/form-data; boundary=b", part(file, good) + "--b--\r\n", []int{200}},
		{"no boundary", "multipart/form-data", part(file, good), []int{400}},
		{"a boundary of a thousand letters", "multipart/form-data; boundary=" + strings.Repeat("b", 1000), "", []int{400}},
		{"no end", "multipart/form-data; boundary=b", part(file, good), []int{400}},
		{"no part", "multipart/form-data; boundary=b", "--b--\r\n", []int{400}},
		{"a hundred thousand parts", "multipart/form-data; boundary=b", strings.Repeat(part("", ""), 1e5) + "--b--\r\n",
			[]int{400, 413}},
		{"a part's header of a megabyte", "multipart/form-data; boundary=b",
			part("A: "+strings.Repeat("a", 1<<20), "") + "--b--\r\n", []int{200, 400, 413, 422}}, // an empty picture
		{"a hundred thousand headers of a part", "multipart/form-data; boundary=b",
			part(strings.TrimSpace(strings.Repeat("A: b\r\n", 1e5)), "") + "--b--\r\n", []int{400, 413}},
		{"a form in a form", "multipart/form-data; boundary=b", part(
			`Content-Disposition: form-data; name="f"; filename="g"`+"\r\nContent-Type: multipart/mixed; boundary=b",
			part(file, good)) + "--b--\r\n", []int{200, 400, 415}},
	} {
		r := send(t, s, "POST", "/v1/classify", strings.NewReader(c.body), "Content-Type", c.kind)
		ok := false
		for _, status := range c.statuses {
			ok = ok || r.status == status
		}
		if !ok {
			t.Errorf("%s: status %d, %.200q; want %v", c.name, r.status, r.text, c.statuses)
		}
	}
}

// names makes up paths, verbs, models and ids: none of them may be remembered, in metrics least of all.
func names(t *testing.T, s *server) {
	lines := func() int { return strings.Count(send(t, s, "GET", "/metrics", nil).text, "\n") }
	send(t, s, "GET", "/x", nil)
	send(t, s, "VERB", "/x", nil)
	send(t, s, "VERB", "/v2", nil)
	send(t, s, "GET", "/v2/models/x", nil)
	send(t, s, "POST", "/v2/models/x/infer", nil)
	before := lines()
	for i := range 500 {
		send(t, s, "GET", fmt.Sprintf("/x%d", i), nil, "X-Request-Id", fmt.Sprint("id", i))
		send(t, s, fmt.Sprintf("VERB%d", i), "/x", nil)
		send(t, s, fmt.Sprintf("VERB%d", i), "/v2", nil)
		send(t, s, "GET", fmt.Sprintf("/v2/models/x%d", i), nil)
		send(t, s, "POST", fmt.Sprintf("/v2/models/x%d/infer", i), nil)
	}
	if after := lines(); after > before+50 {
		t.Errorf("%d lines of metrics became %d", before, after)
	}
}

// slowClients hold on to what they have got: headers and bodies that come byte by byte, and answers that they do not
// read. The server ends each of them in its time, and others do not notice.
func slowClients(t *testing.T, s *server) {
	const patience = 50 * time.Second
	begin := time.Now()
	var wg sync.WaitGroup
	// drip sends a byte a second, until the connection ends, and returns what came back.
	drip := func(start string) string {
		c := dial(t, s.http)
		c.SetDeadline(begin.Add(patience))
		if _, err := io.WriteString(c, start); err != nil {
			return ""
		}
		ended := make(chan string, 1)
		go func() {
			b, err := io.ReadAll(c)
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				b = []byte("still open")
			}
			ended <- string(b)
		}()
		for {
			select {
			case answer := <-ended:
				return answer
			case <-time.After(time.Second):
				io.WriteString(c, "a")
			}
		}
	}
	const post = "POST /v1/classify HTTP/1.1\r\nHost: x\r\n"
	for _, c := range []struct{ name, start, want string }{
		{"a header byte by byte", "GET / HTTP/1.1\r\nHost: x\r\nX: ", ""},
		{"a request line byte by byte", "GET /", ""},
		{"a body byte by byte", post + "Content-Length: 1000000\r\n\r\n", "HTTP/1.1 408"},
		{"chunks byte by byte", post + "Transfer-Encoding: chunked\r\n\r\nfffff\r\n", "HTTP/1.1 408"},
		{"a compressed body byte by byte", post + "Content-Encoding: gzip\r\nContent-Length: 1000000\r\n\r\n" +
			"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff", "HTTP/1.1 408"},
		{"a body that nobody reads", "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", "HTTP/1.1 404"},
	} {
		for range 25 {
			wg.Go(func() {
				if got := drip(c.start); !strings.HasPrefix(got, c.want) || got == "still open" {
					t.Errorf("%s: %.100q, want %q and the end of the connection", c.name, got, c.want)
				}
			})
		}
	}
	// An answer of some megabytes, over a window of some kilobytes.
	var form strings.Builder
	for i := range 300 {
		fmt.Fprintf(&form, "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"%s%d\"\r\n\r\n%s\r\n",
			strings.Repeat("n", 10_000), i, photo(t, 28, 28))
	}
	form.WriteString("--b--\r\n")
	deaf := make([]net.Conn, 10)
	for i := range deaf {
		d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
		}}
		c, err := d.Dial("tcp", s.http)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		deaf[i] = c
		go fmt.Fprintf(c, "POST /v1/classify?depth=json HTTP/1.1\r\nHost: x\r\n"+
			"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s", form.Len(), form.String())
	}
	wg.Wait()
	t.Logf("all others ended within %v", time.Since(begin).Round(time.Second))
	for i, c := range deaf {
		if !ends(s, c.LocalAddr().String(), begin.Add(2*patience)) {
			t.Errorf("client %d, which does not read, is still connected after %v", i, time.Since(begin))
			break
		}
	}
	t.Logf("those that did not read ended within %v", time.Since(begin).Round(time.Second))
	eventually(t, "no body held any more", func() bool {
		return strings.Contains(send(t, s, "GET", "/metrics", nil).text, "\nadavit_body_bytes 0\n")
	})
}

// ends waits until the server has closed its end of a client's connection, which the kernel tells of all sockets.
func ends(s *server, client string, until time.Time) bool {
	_, port, _ := net.SplitHostPort(client)
	number, _ := strconv.Atoi(port)
	remote := fmt.Sprintf(" 0100007F:%04X 01 ", number) // established with the client, seen from the server
	for time.Now().Before(until) {
		table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", s.cmd.Process.Pid))
		if err == nil && !strings.Contains(string(table), remote) {
			return true
		}
		time.Sleep(200 * time.Millisecond)
	}
	return false
}

// idleConnections opens as many connections as the server allows, and more, and leaves them alone.
func idleConnections(t *testing.T, s *server) {
	const n = 10_500
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < n+1000 {
		t.Skipf("%d file descriptors are too few for %d connections", limit.Cur, n)
	}
	for i := range n {
		c, err := net.Dial("tcp", s.http)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer c.Close()
	}
	if r := send(t, s, "GET", "/v2/health/live", nil); r.status != http.StatusOK {
		t.Errorf("live: %d", r.status)
	}
	files := s.status(t, "FDSize")
	t.Logf("%d idle connections, room for %d files in the process", n, files)
}
