package serve

import (
	"errors"
	"io"
	"math/bits"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// memory bounds the bytes that the bodies of all requests together hold.
type memory struct {
	most    int64
	used    atomic.Int64
	refused func() // counts a body that there is no room for; nil: nobody does
}

// take reserves n bytes, or reports that there is no room.
func (m *memory) take(n int64) bool {
	if m.used.Add(n) <= m.most {
		return true
	}
	m.used.Add(-n)
	return false
}

// blocks have been read into, those of 2ᵏ bytes in blocks[k]. They are used again, since a tensor's bytes come faster
// than the system can clear fresh memory for them.
var blocks [63]sync.Pool

// block returns memory for n bytes, 1 at least, which holds whatever was there. It goes back into blocks.
func block(n int64) *[]byte {
	k := bits.Len64(uint64(n - 1))
	b, ok := blocks[k].Get().(*[]byte)
	if !ok {
		fresh := make([]byte, 1<<k)
		b = &fresh
	}
	return b
}

// held is what one body holds of it.
type held struct {
	memory *memory
	bytes  int64
	block  *[]byte // where the body is; nil: nowhere
}

// release gives it back, with the memory that the body was read into.
func (h *held) release() {
	h.recycle(nil)
	h.memory.used.Add(-h.bytes)
	h.bytes = 0
}

// recycle puts another block, or none, into the place of the one that the body was read into.
func (h *held) recycle(next *[]byte) {
	if h.block != nil {
		blocks[bits.Len64(uint64(len(*h.block)-1))].Put(h.block)
	}
	h.block = next
}

// grow reserves room for so many bytes in all.
func (h *held) grow(bytes int64) error {
	if more := bytes - h.bytes; more > 0 {
		if !h.memory.take(more) {
			e := refuse(http.StatusServiceUnavailable, "the requests under way hold %d MB already; try again", h.memory.most>>20)
			e.RetryAfter = time.Second
			if h.memory.refused != nil {
				h.memory.refused()
			}
			return e
		}
		h.bytes = bytes
	}
	return nil
}

// read reads all of in, at most most bytes. size is what the client says it is, −1 if it does not; nothing is reserved
// for more than has come, twice over. What it returns is there until release.
func (h *held) read(in io.Reader, size, most int64) ([]byte, error) {
	const first = 64 << 10
	room := int64(first)
	if size >= 0 {
		room = min(room, size+1) // one more, to see the end without growing
	}
	if err := h.grow(room); err != nil {
		return nil, err
	}
	h.recycle(block(room))
	b := (*h.block)[:0:room]
	for {
		n, err := in.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > most:
			return nil, &http.MaxBytesError{Limit: most}
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return nil, err
		}
		if len(b) < cap(b) {
			continue
		}
		room = min(2*int64(cap(b)), most+1)
		if size > int64(len(b)) {
			room = min(room, max(size+1, int64(len(b))+1))
		}
		if err := h.grow(int64(cap(b)) + room); err != nil { // both while one is copied to the other
			return nil, err
		}
		grown := block(room)
		b = (*grown)[:copy(*grown, b):room]
		h.recycle(grown)
	}
}
