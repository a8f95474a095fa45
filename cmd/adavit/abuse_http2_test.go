//go:build linux && !purego

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// http2Attacks send frames, as fast as they can, to the address that takes HTTP/2 without TLS. The server may end such
// a connection; it must not do the work, or remember it.
func http2Attacks(t *testing.T, s *server) {
	var fields bytes.Buffer
	encoder := hpack.NewEncoder(&fields)
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "x"},
		{":path", "/inference.GRPCInferenceService/ModelInfer"}, {"content-type", "application/grpc"}} {
		encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	block := fields.Bytes()
	open := func(f *http2.Framer, stream uint32, end bool) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndHeaders: end})
	}
	for _, c := range []struct {
		name   string
		frames int
		send   func(f *http2.Framer, i int) error
	}{
		{"streams that are reset at once", 20_000, func(f *http2.Framer, i int) error {
			if err := open(f, uint32(2*i+1), true); err != nil {
				return err
			}
			return f.WriteRSTStream(uint32(2*i+1), http2.ErrCodeCancel)
		}},
		{"streams that stay open", 10_000, func(f *http2.Framer, i int) error { return open(f, uint32(2*i+1), true) }},
		{"headers that do not end", 100_000, func(f *http2.Framer, i int) error {
			if i == 0 {
				return open(f, 1, false)
			}
			return f.WriteContinuation(1, false, []byte{0x00, 0x01, 'a', 0x01, 'b'})
		}},
		{"pings", 50_000, func(f *http2.Framer, i int) error { return f.WritePing(false, [8]byte{}) }},
		{"settings", 50_000, func(f *http2.Framer, i int) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)})
		}},
		{"data frames of nothing", 50_000, func(f *http2.Framer, i int) error {
			if i == 0 {
				return open(f, 1, true)
			}
			return f.WriteData(1, false, nil)
		}},
		{"a table of headers that is bombed", 1000, func(f *http2.Framer, i int) error {
			if i == 0 { // into the table: a field of 4000 bytes
				b := append([]byte{0x40, 0x01, 'a', 0x7f, 0xa1, 0x1e}, bytes.Repeat([]byte{'v'}, 4000)...)
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: append(b, block...), EndHeaders: true})
			}
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), EndHeaders: true,
				BlockFragment: bytes.Repeat([]byte{0xbe}, 10_000)}) // ten thousand times
		}},
		{"frames of the largest size", 1000, func(f *http2.Framer, i int) error {
			return f.WriteRawFrame(0xbb, 0, 0, make([]byte, 1<<24-1))
		}},
	} {
		sent, err := flood(s.grpc, c.frames, c.send)
		t.Logf("%s: %d of %d sent, %v", c.name, sent, c.frames, err)
		if !s.alive() {
			t.Fatalf("%s: the server ended: %v", c.name, s.err)
		}
	}
}

// flood opens a connection and sends so many frames, as long as the server takes them, and ten seconds at most.
func flood(addr string, frames int, send func(f *http2.Framer, i int) error) (sent int, err error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	gone := make(chan error, 1)
	go func() { // what the server sends is read, or it could not go on
		_, err := io.Copy(io.Discard, c)
		gone <- fmt.Errorf("the server closed the connection: %v", err)
	}()
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return 0, err
	}
	f := http2.NewFramer(c, nil)
	f.AllowIllegalWrites = true
	if err := f.WriteSettings(); err != nil {
		return 0, err
	}
	for ; sent < frames; sent++ {
		if err := send(f, sent); err != nil {
			return sent, err
		}
		select {
		case err := <-gone:
			return sent, err
		default:
		}
	}
	return sent, nil
}
