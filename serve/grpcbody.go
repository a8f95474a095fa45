package serve

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/adavit/adavit/serve/bound"
)

// ahead is how many messages of one stream are read before the first of them is answered.
const ahead = 8

// messages is the body of a gRPC call, cut where its messages begin: five bytes, one that says whether the message is
// compressed and four that say how long it is, and the message. What grpc reads from it are whole messages, already
// unpacked, which the memory of all requests had room for. In place of one that it had no room for, or that is bad,
// comes an empty one, and refusal tells why: an error of reading would reach the client without its status.
type messages struct {
	ctx    context.Context
	w      http.ResponseWriter
	in     io.ReadCloser
	server *Server
	unpack string // gzip, deflate or ""
	many   bool   // the call may have any number of messages, and any time between them

	head, rest []byte        // what grpc has not read yet of a message
	reading    *held         // where that is
	room       chan struct{} // one for each message that has not been answered
	closed     chan struct{}
	close      sync.Once

	mu      sync.Mutex
	holds   []*held // of messages that have not been answered, the oldest first
	refused *Error
}

// headSize is the length of what precedes a message.
const headSize = 5

type messagesKey struct{}

// messages takes a request's body apart. The request that it returns has its messages as its body.
func (s *Server) messages(w http.ResponseWriter, r *http.Request) (*messages, *http.Request) {
	m := &messages{w: w, in: r.Body, server: s,
		many: strings.HasSuffix(r.URL.Path, "/ModelStreamInfer") || strings.HasPrefix(r.URL.Path, "/grpc.reflection."),
		room: make(chan struct{}, ahead), closed: make(chan struct{})}
	m.ctx = context.WithValue(r.Context(), messagesKey{}, m)
	r = r.WithContext(m.ctx)
	r.Body = m
	switch encoding := r.Header.Get("Grpc-Encoding"); encoding {
	case "gzip", "deflate":
		m.unpack = encoding
		r.Header = r.Header.Clone()
		r.Header.Del("Grpc-Encoding")
	}
	if err := s.authorize(r.Header["Authorization"], grpcScope(r.URL.Path)); err != nil { // before it is read
		m.refuse(err)
	}
	return m, r
}

// refusal returns what was wrong with the last message of a call.
func refusal(ctx context.Context) error {
	m, ok := ctx.Value(messagesKey{}).(*messages)
	if !ok {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refused == nil {
		return nil
	}
	return m.refused
}

// answered gives back what the oldest message of a call held.
func answered(ctx context.Context) {
	m, ok := ctx.Value(messagesKey{}).(*messages)
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.holds) > 0 {
		m.holds[0].release()
		m.holds = m.holds[1:]
		<-m.room
	}
}

// release gives back what all messages held.
func (m *messages) release() {
	m.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.holds {
		h.release()
	}
	m.holds = nil
}

// Close ends a Read that waits.
func (m *messages) Close() error {
	m.close.Do(func() { close(m.closed) })
	return m.in.Close()
}

// deadline says how long reads may take from now on; 0: any time. Payloads have their own pace (bound.Body).
func (m *messages) deadline(d time.Duration) {
	var at time.Time
	if d > 0 {
		at = time.Now().Add(d)
	}
	http.NewResponseController(m.w).SetReadDeadline(at) // a server behind httptest has none
}

func (m *messages) Read(p []byte) (n int, err error) {
	if len(m.head)+len(m.rest) == 0 {
		if refusal(m.ctx) != nil {
			return 0, io.EOF
		}
		if err := m.next(); err != nil {
			return 0, err
		}
	}
	n = copy(p, m.head)
	m.head = m.head[n:]
	more := copy(p[n:], m.rest)
	if m.rest = m.rest[more:]; len(m.rest) == 0 && m.reading != nil {
		m.reading.recycle(nil) // grpc has its own copy
		m.rest, m.reading = nil, nil
	}
	return n + more, nil
}

// next reads a message.
func (m *messages) next() error {
	select {
	case m.room <- struct{}{}:
	case <-m.closed:
		return io.ErrClosedPipe
	}
	hold := &held{memory: m.server.memory}
	m.mu.Lock()
	m.holds = append(m.holds, hold)
	m.mu.Unlock()
	if !m.many { // even the end must come in time: grpc waits for it
		m.deadline(bodyPatience)
	}
	head := make([]byte, headSize)
	if _, err := io.ReadFull(m.in, head[:1]); err != nil {
		return m.broken(err)
	}
	if m.many {
		m.deadline(bodyPatience)
		defer m.deadline(0)
	}
	_, err := io.ReadFull(m.in, head[1:])
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return m.broken(err)
	}
	if m.rest, err = m.payload(hold, head); err != nil {
		return m.broken(err)
	}
	m.head, m.reading = head, hold
	return nil
}

// broken puts an error in a message's place, unless nobody is there to hear of it.
func (m *messages) broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || m.ctx.Err() != nil {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = bound.ErrSlow
	}
	m.refuse(bodyError(err))
	return nil
}

// refuse has the call fail.
func (m *messages) refuse(err error) {
	m.head, m.rest = make([]byte, headSize), nil
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused = asError(err)
}

// payload reads what follows a head, and unpacks it.
func (m *messages) payload(hold *held, head []byte) ([]byte, error) {
	size, most := int64(binary.BigEndian.Uint32(head[1:])), m.server.options.MaxBody
	if size > most {
		return nil, &http.MaxBytesError{Limit: most}
	}
	in := &io.LimitedReader{R: m.in, N: size}
	paced := bound.Body(m.w, &http.Request{Body: io.NopCloser(in)}, size, bodyPatience, m.server.options.Timeout, bodyRate)
	if head[0] == 0 || m.unpack == "" { // grpc will say what it thinks of anything else
		b, err := hold.read(paced, size, most)
		if err == nil && in.N > 0 {
			err = io.ErrUnexpectedEOF
		}
		return b, err
	}
	unpacked, err := unpack(m.unpack, paced)
	if err != nil {
		return nil, err
	}
	b, err := hold.read(unpacked, -1, most)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) && in.N == 0:
		return nil, refuse(http.StatusBadRequest, "a compressed message ends too early")
	case err == nil && in.N > 0:
		return nil, refuse(http.StatusBadRequest, "%d bytes are left behind a compressed message", in.N)
	}
	head[0] = 0
	binary.BigEndian.PutUint32(head[1:], uint32(len(b)))
	return b, err
}
