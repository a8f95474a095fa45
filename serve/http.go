package serve

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/adavit/adavit/serve/bound"
	"github.com/adavit/adavit/serve/secure"
)

// handler answers a request or returns why not.
type handler func(w http.ResponseWriter, r *http.Request) error

// route serves a path with the verbs that it has.
func (s *Server) route(mux *http.ServeMux, path string, scope secure.Scope, verbs map[string]handler) {
	var allowed []string
	for verb := range verbs {
		if allowed = append(allowed, verb); verb == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	slices.Sort(allowed)
	mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		verb := r.Method
		if verb == http.MethodHead {
			verb = http.MethodGet
		}
		h := verbs[verb]
		s.answer(w, r, path, func(w http.ResponseWriter, r *http.Request) error {
			if h == nil {
				e := refuse(http.StatusMethodNotAllowed, "%s does not work here; use %s", r.Method, strings.Join(allowed, " or "))
				e.Allow = strings.Join(allowed, ", ")
				return e
			}
			if err := s.authorize(r.Header["Authorization"], scope); err != nil {
				return err
			}
			return h(w, r)
		})
	})
}

// answer runs a handler with everything that all of them have: an id, a log line, metrics, an error's body, and a panic
// that costs nobody else anything.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, path string, h handler) {
	begin := time.Now()
	id := requestID(r.Header.Get("X-Request-Id"))
	w.Header().Set("X-Request-Id", id)
	if trace := traceparent(r.Header.Get("Traceparent")); trace != "" {
		w.Header().Set("Traceparent", trace)
	}
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	r = r.WithContext(context.WithValue(r.Context(), idKey{}, id))
	err := s.safely(id, r.URL.Path, func() error { return h(rec, r) })
	if err != nil {
		rec.fail(asError(err))
	}
	took := time.Since(begin)
	s.metrics.requests(path, r.Method, rec.status, took)
	s.logRequest(r.Context(), id, r.Method, r.URL.Path, rec.status, took, err)
}

// safely runs do, whose panic becomes an error.
func (s *Server) safely(id, path string, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.log.Error("panic", "id", id, "path", path, "panic", p, "stack", string(debug.Stack()))
			err = errors.New("internal error; the server's log has more under this request's X-Request-Id")
		}
	}()
	return do()
}

// logRequest logs an answer: louder, if the server is to blame for it.
func (s *Server) logRequest(ctx context.Context, id, method, path string, status int, took time.Duration, err error) {
	level := slog.LevelDebug
	if status >= 500 && status != http.StatusServiceUnavailable && status != http.StatusNotImplemented {
		level = slog.LevelWarn
	}
	s.log.Log(ctx, level, "request", "id", id, "method", method, "path", path, "status", status, "ms", milliseconds(took),
		"error", err)
}

// traceContext is the form of a W3C trace context: version, trace, parent and flags, and what later versions add.
var traceContext = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$`)

// traceparent is a client's W3C trace context, "" if it is none.
func traceparent(text string) string {
	if len(text) > 128 || !traceContext.MatchString(text) {
		return ""
	}
	return text
}

type idKey struct{}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	wrote  bool
}

func (w *recorder) WriteHeader(status int) {
	if !w.wrote {
		w.status, w.wrote = status, true
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write gives the client some time to read each piece: else one that does not read would hold its answer and its
// connection for ever.
func (w *recorder) Write(b []byte) (n int, err error) {
	const piece = 64 << 10
	w.wrote = true
	for {
		http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(answerPatience))
		wrote, err := w.ResponseWriter.Write(b[n:min(n+piece, len(b))])
		if n += wrote; err != nil || n == len(b) {
			return n, err
		}
	}
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// fail answers with an error, unless an answer has begun.
func (w *recorder) fail(e *Error) {
	if w.status = e.Status; w.wrote || e.Status == statusClientGone {
		return
	}
	h := w.Header()
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	if e.Allow != "" {
		h.Set("Allow", e.Allow)
	}
	if e.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="adavit"`)
	}
	if e.Status == http.StatusRequestEntityTooLarge {
		h.Set("Connection", "close") // what is still coming is not worth reading
	}
	writeJSON(w, e.Status, map[string]string{"error": e.Message})
}

// writeJSON answers with a JSON object.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // nobody takes it for a page
	if err := encoder.Encode(v); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, err := w.Write(b.Bytes())
	return clientError(err)
}

// clientError says that an answer could not be written, which is the client's affair.
func clientError(err error) error {
	if err == nil {
		return nil
	}
	return refuse(statusClientGone, "writing the answer: %v", err)
}

// requestID is the client's id of a request if it is fit for a log, or a new one.
func requestID(text string) string {
	if text != "" && len(text) <= 128 && !strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' }) {
		return text
	}
	return rand.Text()
}

// How slowly a body may come, and an answer be read: what fits the buffers between, or 64 kB, in its time.
const (
	bodyPatience   = 10 * time.Second
	bodyRate       = 16_000 // bytes a second
	answerPatience = 20 * time.Second
)

// body reads a request's body: at most --max-body bytes, also after decompression, and only while all bodies together
// stay within their share of memory. release is to be called when it is not needed any more.
func (s *Server) body(w http.ResponseWriter, r *http.Request) (b []byte, release func(), err error) {
	most := s.options.MaxBody
	if r.ContentLength > most {
		return nil, nil, &http.MaxBytesError{Limit: most}
	}
	in := io.Reader(bound.Body(w, r, most, bodyPatience, s.options.Timeout, bodyRate))
	if in, err = unpack(r.Header.Get("Content-Encoding"), in); err != nil {
		return nil, nil, bodyError(err)
	}
	hold := held{memory: s.memory}
	if b, err = hold.read(in, r.ContentLength, most); err != nil {
		hold.release()
		return nil, nil, bodyError(err)
	}
	return b, hold.release, nil
}

// unpack reads what is compressed in a way that HTTP and gRPC have in common.
func unpack(encoding string, in io.Reader) (io.Reader, error) {
	switch encoding {
	case "", "identity":
		return in, nil
	case "gzip":
		return gzip.NewReader(in)
	case "deflate":
		return zlib.NewReader(in)
	}
	return nil, refuse(http.StatusUnsupportedMediaType, "encoding %.40q is not known; send gzip, deflate or none",
		encoding)
}

// bodyError says what is wrong with a body that could not be read.
func bodyError(err error) error {
	var known *Error
	var size *http.MaxBytesError
	switch {
	case errors.As(err, &known), errors.As(err, &size):
		return err
	case errors.Is(err, bound.ErrSlow):
		return refuse(http.StatusRequestTimeout, "%v; send at least %d kB a second, without long pauses and within the "+
			"server's --timeout", err, bodyRate/1000)
	}
	return refuse(http.StatusBadRequest, "the body cannot be read: %v", err)
}
