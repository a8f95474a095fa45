//go:build linux && !purego

package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What the attacked server may take, and what it may hold beyond its memory at rest: the bodies of all requests (16 ×
// 4 MiB), a picture while it is decoded (8 bytes a pixel), all of it twice since the collector runs behind.
const (
	abuseBody   = 4 << 20
	abusePixels = 4_000_000
	abuseMemory = 2*(16*abuseBody+8*abusePixels) + 64<<20
)

// TestServeAbuse attacks a server in the ways that serving knows. Each attack sees the status that it should, the
// process lives, its memory stays within its bounds, and a bystander is answered all the while.
func TestServeAbuse(t *testing.T) {
	if testing.Short() {
		t.Skip("takes two minutes")
	}
	s := startServer(t, "--max-body", fmt.Sprint(abuseBody), "--max-pixels", fmt.Sprint(abusePixels), "--model-control",
		"none", "--timeout", "60s")
	quiet := newBystander(t, s.http)
	time.Sleep(time.Second)
	calm, _, err := quiet.end()
	if err != nil {
		t.Fatalf("without an attack: %v", err)
	}
	rest := s.peak(t)
	for _, attack := range attacks {
		t.Run(attack.name, func(t *testing.T) {
			s.peak(t)
			witness := newBystander(t, s.http)
			attack.run(t, s)
			p99, answered, err := witness.end()
			if err != nil {
				t.Errorf("a bystander: %v", err)
			}
			if !s.alive() {
				t.Fatalf("the server ended: %v", s.err)
			}
			peak := s.peak(t)
			t.Logf("bystander: %d answers, p99 %v (%v without an attack); memory %d MiB (%d at rest)", answered,
				p99.Round(time.Millisecond), calm.Round(time.Millisecond), peak>>20, rest>>20)
			if peak > rest+abuseMemory+attack.memory {
				t.Errorf("the server holds %d MiB, %d more than at rest", peak>>20, (peak-rest)>>20)
			}
			eventually(t, "nothing under way", func() bool { return s.load(t).InFlight == 0 })
		})
	}
}

// attack is a way to hurt a server. memory is what it may cost beyond abuseMemory, in bytes.
type attack struct {
	name   string
	memory int64
	run    func(t *testing.T, s *server)
}

var attacks = []attack{
	{"requests that are wrong", 0, wrongRequests},
	{"pictures", 0, badPictures},
	{"a million chunks of one byte", 0, millionChunks},
	{"lengths that lie", 0, lyingLengths},
	{"bombs", 0, bombs},
	{"JSON", 0, badJSON},
	{"forms", 0, badForms},
	{"names without end", 0, names},
	{"slow clients", 64 << 20, slowClients},
	{"ten thousand idle connections", 512 << 20, idleConnections},
	{"HTTP/2", 64 << 20, http2Attacks},
}

// reply is an answer that matters.
type reply struct {
	status int
	allow  string
	text   string
}

// send sends one request and wants an answer.
func send(t *testing.T, s *server, method, path string, body io.Reader, header ...string) reply {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+s.http+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Timeout: 2 * time.Minute}
	resp, err := client.Do(r)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return reply{}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
	return reply{resp.StatusCode, resp.Header.Get("Allow"), string(text)}
}

// refused wants a status, and a sentence about it.
func refused(t *testing.T, what string, r reply, status int) {
	t.Helper()
	var e struct {
		Error string `json:"error"`
	}
	if r.status != status {
		t.Errorf("%s: status %d, %.200q; want %d", what, r.status, r.text, status)
	} else if err := json.Unmarshal([]byte(r.text), &e); err != nil || e.Error == "" || len(e.Error) > 1000 {
		t.Errorf("%s: status %d, %.2000q; want a sentence", what, r.status, r.text)
	}
}

func wrongRequests(t *testing.T, s *server) {
	for _, c := range []struct {
		method, path, allow string
		status              int
	}{
		{"GET", "/v1/classify", "POST", 405}, {"DELETE", "/v1/classify", "POST", 405}, {"PUT", "/v2", "GET, HEAD", 405},
		{"POST", "/v2/health/live", "GET, HEAD", 405}, {"GET", "/v2/models/fashion-adaptive/infer", "POST", 405},
		{"BREW", "/v1/models", "GET, HEAD", 405}, {"GET", "/v2/models/none", "", 404}, {"GET", "/nowhere", "", 404},
		{"POST", "/v2/models/none/infer", "", 404}, {"GET", "/v2/models/fashion-adaptive/versions/7", "", 404},
		{"POST", "/v1/classify?model=none", "", 404}, {"GET", "/" + strings.Repeat("a", 50_000), "", 404},
	} {
		r := send(t, s, c.method, c.path, strings.NewReader(""))
		refused(t, fmt.Sprintf("%s %.60s", c.method, c.path), r, c.status)
		if r.allow != c.allow {
			t.Errorf("%s %.60s: Allow %q, want %q", c.method, c.path, r.allow, c.allow)
		}
	}
	for _, c := range []struct {
		text   string
		status int // 0: any, or none at all
	}{
		{"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 200) + "\r\n", 431},
		{"GET / HTTP/1.1\r\n\r\n", 400},
		{"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 505},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0},
		{strings.Repeat("\x00", 100_000), 0},
		{"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\x01b\r\n\r\n", 400},
		{strings.Repeat("GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n", 1000), 200}, // in one go
	} {
		if got := raw(t, s, c.text); c.status != 0 && got != c.status {
			t.Errorf("%.60q: status %d, want %d", c.text, got, c.status)
		}
	}
}

// raw sends bytes, and returns the status of the first answer, 0 if there was none.
func raw(t *testing.T, s *server, text string) int {
	t.Helper()
	c := dial(t, s.http)
	defer c.Close()
	go io.WriteString(c, text) // the server may not read it all
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// pngHeader is a PNG file of the given size whose pixels are missing, of so many channels of 16 bits.
func pngHeader(width, height uint32, channels int) []byte {
	kind := map[int]byte{1: 0, 3: 2, 4: 6}[channels]
	b := []byte("\x89PNG\r\n\x1a\n")
	ihdr := binary.BigEndian.AppendUint32([]byte("IHDR"), width)
	ihdr = append(binary.BigEndian.AppendUint32(ihdr, height), 16, kind, 0, 0, 0)
	return pngChunk(b, ihdr)
}

func pngChunk(b, data []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)-4))
	return binary.BigEndian.AppendUint32(append(b, data...), crc32.ChecksumIEEE(data))
}

// pngBomb is a whole PNG file of zeros: a thousandth of its pixels' size.
func pngBomb(width, height uint32, channels int) []byte {
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	row := make([]byte, 1+2*channels*int(width))
	for range height {
		w.Write(row)
	}
	w.Close()
	b := pngChunk(pngHeader(width, height, channels), append([]byte("IDAT"), z.Bytes()...))
	return pngChunk(b, []byte("IEND"))
}

func badPictures(t *testing.T, s *server) {
	good := photo(t, 28, 28)
	jpegHeader := "\xff\xd8\xff\xc0\x00\x0b\x08\xff\xdc\xff\xdc\x01\x01\x11\x00" +
		"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x00\x00\x00\xff\xd9"
	for _, c := range []struct {
		name   string
		file   []byte
		status int
	}{
		{"1 × 20000", photo(t, 1, 20_000), 200}, {"20000 × 1", photo(t, 20_000, 1), 200},
		{"65500 × 65500, a PNG header only", pngHeader(65500, 65500, 3), 413},
		{"2³¹−1 × 2³¹−1", pngHeader(1<<31-1, 1<<31-1, 4), 413},
		{"65500 × 65500, a JPEG of two bytes", []byte(jpegHeader), 413},
		{"0 × 5", pngHeader(0, 5, 1), 422},
		{"cut short", good[:len(good)/2], 422},
		{"a header and nothing", pngHeader(100, 100, 1), 422},
		{"not a picture", []byte("%PDF-1.7"), 415}, {"text", bytes.Repeat([]byte("no "), 1000), 415},
		{"an HTML page", []byte("<html><script>"), 415}, {"empty", nil, 400},
		{"too large a body", make([]byte, abuseBody+1), 413},
	} {
		r := send(t, s, "POST", "/v1/classify", bytes.NewReader(c.file))
		if c.status == http.StatusOK && r.status == http.StatusOK {
			continue
		}
		refused(t, c.name, r, c.status)
	}
	// As large as is allowed, in a thousandth of its size; sixteen at once.
	bomb, over := pngBomb(2000, 2000, 4), pngBomb(2001, 2000, 4)
	together(16, func() {
		if r := send(t, s, "POST", "/v1/classify", bytes.NewReader(bomb)); r.status != http.StatusOK {
			t.Errorf("a picture as large as is allowed: %d, %s", r.status, r.text)
		}
		refused(t, "one row more", send(t, s, "POST", "/v1/classify", bytes.NewReader(over)), 413)
	})
}

// together runs f in n goroutines.
func together(n int, f func()) {
	done := make(chan struct{})
	for range n {
		go func() {
			defer func() { done <- struct{}{} }()
			f()
		}()
	}
	for range n {
		<-done
	}
}

func millionChunks(t *testing.T, s *server) {
	c := dial(t, s.http)
	status := make(chan int, 1)
	go func() {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			status <- 0
			return
		}
		status <- resp.StatusCode
	}()
	w := bufio.NewWriterSize(c, 64<<10)
	io.WriteString(w, "POST /v1/classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	for range 1_000_000 {
		w.WriteString("1\r\nx\r\n")
	}
	w.WriteString("0\r\n\r\n")
	if err := w.Flush(); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Logf("writing: %v", err)
	}
	if got := <-status; got != http.StatusUnsupportedMediaType {
		t.Errorf("status %d, want 415", got)
	}
	// What stands beside the data counts as well.
	extension := "POST /v1/classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" +
		strings.Repeat("e", 1<<20)
	if got := raw(t, s, extension); got != http.StatusBadRequest {
		t.Errorf("a chunk's extension of a megabyte: status %d, want 400", got)
	}
}

func lyingLengths(t *testing.T, s *server) {
	file := string(photo(t, 28, 28))
	head := "POST /v1/classify HTTP/1.1\r\nHost: x\r\n"
	for _, c := range []struct {
		name, text string
		status     int
	}{
		{"two lengths", head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
		{"a negative length", head + "Content-Length: -1\r\n\r\n", 400},
		{"more than fits 64 bits", head + "Content-Length: 99999999999999999999\r\n\r\n", 400},
		{"more than is taken", head + "Content-Length: 9223372036854775807\r\n\r\n", 413},
		{"less than there is", head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(file)/2, file), 422},
		{"a chunk's negative length", head + "Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n", 400},
		{"a chunk of more than fits 64 bits", head + "Transfer-Encoding: chunked\r\n\r\n1ffffffffffffffff\r\nx\r\n", 400},
		{"another coding of the transfer", head + "Transfer-Encoding: gzip\r\n\r\nx", 501},
	} {
		if got := raw(t, s, c.text); got != c.status {
			t.Errorf("%s: status %d, want %d", c.name, got, c.status)
		}
	}
	// A client that promises more than it sends, and closes its side.
	c := dial(t, s.http)
	fmt.Fprintf(c, "%sContent-Length: 1000000\r\n\r\n%s", head, file)
	c.(interface{ CloseWrite() error }).CloseWrite()
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil && resp.StatusCode != http.StatusBadRequest {
		t.Errorf("more than is sent: status %d, want 400 or none", resp.StatusCode)
	}
	// Binary tensors whose sizes and the header's length lie.
	const path = "/v2/models/fashion-adaptive/infer"
	tensor := func(size int, shape string) string {
		return fmt.Sprintf(`{"inputs":[{"name":"input","datatype":"FP32","shape":%s,"parameters":{"binary_data_size":%d}}]}`,
			shape, size)
	}
	for _, b := range []struct {
		name, json, length string
		data               int
	}{
		{"a tensor that is not there", tensor(3136, "[1,1,28,28]"), "", 0},
		{"a tensor cut short", tensor(3136, "[1,1,28,28]"), "", 3135},
		{"a tensor with something behind it", tensor(3136, "[1,1,28,28]"), "", 3137},
		{"a tensor of another size", tensor(3132, "[1,1,28,28]"), "", 3132},
		{"a negative size", tensor(-4, "[1,1,28,28]"), "", 3136},
		{"an enormous size", tensor(1<<62, "[1,1,28,28]"), "", 3136},
		{"a shape that overflows", tensor(3136, "[4611686018427387904,4,1,28,28]"), "", 3136},
		{"a shape whose bytes overflow", tensor(0, "[4611686018427387904,1,28,28]"), "", 0},
		{"a header longer than the body", tensor(3136, "[1,1,28,28]"), "999999", 3136},
		{"a negative header", tensor(3136, "[1,1,28,28]"), "-1", 3136},
		{"a header that ends in its midst", tensor(3136, "[1,1,28,28]"), "10", 3136},
	} {
		if b.length == "" {
			b.length = fmt.Sprint(len(b.json))
		}
		r := send(t, s, "POST", path, strings.NewReader(b.json+strings.Repeat("\x00", b.data)),
			"Inference-Header-Content-Length", b.length)
		refused(t, b.name, r, http.StatusBadRequest)
	}
	// Pictures as elements of a tensor, each with its length before it.
	raw := func(length uint32, data string) string {
		return string(binary.LittleEndian.AppendUint32(nil, length)) + data
	}
	for name, data := range map[string]string{
		"a picture longer than all": raw(1<<32-1, file), "one byte short": raw(uint32(len(file)+1), file),
		"one byte left": raw(uint32(len(file)-1), file), "no length": "\x01\x00",
	} {
		header := fmt.Sprintf(`{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],`+
			`"parameters":{"binary_data_size":%d}}]}`, len(data))
		refused(t, name, send(t, s, "POST", path, strings.NewReader(header+data), "Inference-Header-Content-Length",
			fmt.Sprint(len(header))), http.StatusBadRequest)
	}
}

func bombs(t *testing.T, s *server) {
	for _, encoding := range []string{"gzip", "deflate"} {
		var b bytes.Buffer
		w := io.WriteCloser(gzip.NewWriter(&b))
		if encoding == "deflate" {
			w = zlib.NewWriter(&b)
		}
		zeros := make([]byte, 1<<20)
		for range 64 {
			w.Write(zeros)
		}
		w.Close()
		for _, path := range []string{"/v1/classify", "/v2/models/fashion-adaptive/infer"} {
			together(8, func() {
				r := send(t, s, "POST", path, bytes.NewReader(b.Bytes()), "Content-Encoding", encoding)
				refused(t, "64 MB of zeros by "+encoding, r, http.StatusRequestEntityTooLarge)
			})
		}
		refused(t, encoding+" cut short", send(t, s, "POST", "/v1/classify", bytes.NewReader(b.Bytes()[:1000]),
			"Content-Encoding", encoding), http.StatusBadRequest)
	}
	for _, encoding := range []string{"br", "zstd", "gzip, gzip", "identity, gzip"} {
		refused(t, encoding, send(t, s, "POST", "/v1/classify", strings.NewReader("x"), "Content-Encoding", encoding),
			http.StatusUnsupportedMediaType)
	}
}
