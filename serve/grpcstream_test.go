package serve

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/adavit/adavit/serve/inferencepb"
)

// TestGRPCStream sends more requests than are read ahead before it reads an answer. Answers come in order, one of them
// an error; a stream that is open when the server stops is told.
func TestGRPCStream(t *testing.T) {
	s, conn, stop := startGRPC(t, Options{Threads: 2}, withLadder(t), bundled)
	client := pb.NewGRPCInferenceServiceClient(conn)
	stream, err := client.ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const n, bad = 5 * ahead, 11
	go func() {
		for i := range n {
			name := []string{"small", bundled.Name}[i%2] // of which one takes longer
			r, _ := pixelRequest(t, s, name, 1+i%3)
			r.Id = fmt.Sprint(i)
			if i == bad {
				r.RawInputContents[0] = nil
			}
			if stream.Send(r) != nil {
				return // Recv says why
			}
		}
	}()
	for i := range n {
		got, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		a := got.InferResponse
		if a.GetId() != fmt.Sprint(i) || (got.ErrorMessage != "") != (i == bad) ||
			(len(a.Outputs) == 3 && a.Outputs[0].Shape[0] == int64(1+i%3)) != (i != bad) {
			t.Fatalf("answer %d: %q, id %q, %d outputs", i, got.ErrorMessage, a.GetId(), len(a.Outputs))
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("the stream ended with %v", err)
	}
	open, err := client.ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, _ := pixelRequest(t, s, "small", 1)
	if err := open.Send(r); err != nil {
		t.Fatal(err)
	}
	if _, err := open.Recv(); err != nil {
		t.Fatal(err)
	}
	go stop()
	if _, err := open.Recv(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "connect again") {
		t.Errorf("a stream that was open when the server stopped ended with %v", err)
	}
	stop()
	if held := s.memory.used.Load(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
}

// TestGRPCStreamRefusal: answers to what came before a message that is too large still come.
func TestGRPCStreamRefusal(t *testing.T) {
	s, conn, _ := startGRPC(t, Options{Threads: 1, MaxBody: 50_000}, withLadder(t))
	stream, err := pb.NewGRPCInferenceServiceClient(conn).ModelStreamInfer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 1, 500} {
		r, _ := pixelRequest(t, s, "small", n)
		stream.Send(r)
	}
	for i := range 2 {
		if got, err := stream.Recv(); err != nil || got.ErrorMessage != "" {
			t.Errorf("answer %d: %v, %v", i, got, err)
		}
	}
	_, err = stream.Recv()
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "--max-body") {
		t.Errorf("the stream ended with %v", err)
	}
}

// message is a gRPC message as it is on the wire.
func message(flag byte, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(payload))), payload...)
}

// FuzzMessages reads bodies as they may come. What grpc gets from them are whole messages, none larger than allowed,
// and nothing is held when the call is over.
func FuzzMessages(f *testing.F) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write(make([]byte, 3000))
	w.Close()
	f.Add(message(0, []byte("one")), "", false)
	f.Add(append(message(0, nil), message(0, []byte("two"))...), "", true)
	f.Add(message(1, packed.Bytes()), "gzip", false)
	f.Add(message(1, packed.Bytes()[:9]), "gzip", true)
	f.Add(message(1, []byte("x\x9c\x03\x00\x00\x00\x00\x01")), "deflate", false)
	f.Add(message(0, []byte("cut off"))[:8], "", true)
	f.Add([]byte{0, 255, 255, 255, 255, 1}, "", false)
	f.Fuzz(func(t *testing.T, body []byte, encoding string, many bool) {
		s := &Server{options: Options{MaxBody: 2000}, memory: &memory{most: 100_000}}
		path := "/inference.GRPCInferenceService/ModelInfer"
		if many {
			path = "/inference.GRPCInferenceService/ModelStreamInfer"
		}
		r := httptest.NewRequest(http.MethodPost, path, iotest.OneByteReader(bytes.NewReader(body)))
		r.Header.Set("Grpc-Encoding", encoding)
		m, r := s.messages(httptest.NewRecorder(), r)
		var got []byte
		part := make([]byte, 700)
		for {
			n, err := r.Body.Read(part)
			got = append(got, part[:n]...)
			answered(r.Context())
			if err != nil {
				break
			}
		}
		if m.release(); s.memory.used.Load() != 0 {
			t.Fatalf("%d bytes are still held", s.memory.used.Load())
		}
		for len(got) > 0 {
			size := binary.BigEndian.Uint32(got[1:headSize])
			if size > 2000 || int(size) > len(got)-headSize {
				t.Fatalf("a message says it has %d bytes; %d are left", size, len(got)-headSize)
			}
			got = got[headSize+int(size):]
		}
	})
}

// FuzzGRPC reads requests of any bytes: a tensor that is let in has as many elements as its shape says, and one that is
// answered in bytes and in numbers holds the same.
func FuzzGRPC(f *testing.F) {
	request := &pb.ModelInferRequest{Id: "1", Inputs: []*pb.ModelInferRequest_InferInputTensor{
		{Name: "input", Datatype: "FP32", Shape: []int64{1, 2}}}, RawInputContents: [][]byte{make([]byte, 8)},
		Outputs:    []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "logits"}},
		Parameters: map[string]*pb.InferParameter{"compute_budget": grpcParameter(0.5)}}
	typed := &pb.ModelInferRequest{Inputs: []*pb.ModelInferRequest_InferInputTensor{
		{Name: "image", Datatype: "BYTES", Shape: []int64{1},
			Contents: &pb.InferTensorContents{BytesContents: [][]byte{[]byte("GIF")}}}}}
	for _, r := range []*pb.ModelInferRequest{request, typed} {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		in := new(pb.ModelInferRequest)
		if proto.Unmarshal(body, in) != nil {
			return
		}
		r, _, ignored, err := parseGRPC(in)
		if err != nil {
			if e := asError(err); e.Status != http.StatusBadRequest || e.Message == "" {
				t.Fatalf("status %d: %v", e.Status, e)
			}
			return
		}
		for i, tensor := range r.Inputs {
			tensor = tensor.read()
			r.Inputs[i] = tensor
			n, err := elements(tensor.Shape)
			if err != nil || n != len(tensor.Floats)+len(tensor.Bytes)+len(tensor.Ints) {
				t.Fatalf("%s %v holds %d, %d and %d elements", tensor.Datatype, tensor.Shape, len(tensor.Floats),
					len(tensor.Bytes), len(tensor.Ints))
			}
		}
		resp := &Response{Outputs: r.Inputs}
		raw, numbers := grpcResponse(resp, true, ignored), grpcResponse(resp, false, ignored)
		for i, o := range numbers.Outputs {
			again := Tensor{Name: o.Name, Datatype: Datatype(o.Datatype), Shape: o.Shape}
			if err := again.contents(o.Contents); err != nil ||
				!bytes.Equal(again.AppendBinary(nil), raw.RawOutputContents[i]) {
				t.Fatalf("%v does not come back: %v", o, err)
			}
		}
	})
}

// TestGRPCTinyFrames: a message that comes a byte a frame holds no more memory than another.
func TestGRPCTinyFrames(t *testing.T) {
	s, _, _ := startGRPC(t, Options{Threads: 1}, withLadder(t))
	conn, framer := rawHTTP2(t, s)
	go io.Copy(io.Discard, conn)
	openStream(t, framer, 1, "/inference.GRPCInferenceService/ModelInfer")
	const size = 50_000
	if err := framer.WriteData(1, false, message(0, make([]byte, size))[:headSize]); err != nil {
		t.Fatal(err)
	}
	for range size - 1 { // never whole
		if err := framer.WriteData(1, false, []byte{0}); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, "the message to come", func() bool { return s.memory.used.Load() > size/2 })
	if held := s.memory.used.Load(); held > 3*size {
		t.Errorf("%d bytes are held for a message of %d", held, size)
	}
	conn.Close()
	wait(t, "the memory to come back", func() bool { return s.memory.used.Load() == 0 })
}

// TestGRPCRapidReset begins calls and resets them at once, thousands of them. Others are answered meanwhile, and no
// more goroutines are left than were there.
func TestGRPCRapidReset(t *testing.T) {
	s, other, _ := startGRPC(t, Options{Threads: 1}, withLadder(t))
	client := pb.NewGRPCInferenceServiceClient(other)
	r, _ := pixelRequest(t, s, "small", 1)
	if _, err := client.ModelInfer(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	conn, framer := rawHTTP2(t, s)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		io.Copy(io.Discard, conn)
	}()
	most := 0
	for i := range uint32(20_000) {
		if openStream(t, framer, 2*i+1, "/inference.GRPCInferenceService/ModelStreamInfer") != nil ||
			framer.WriteRSTStream(2*i+1, http2.ErrCodeCancel) != nil {
			break // it lost its connection
		}
		if i%1000 == 0 {
			most = max(most, runtime.NumGoroutine())
			if _, err := client.ModelInfer(t.Context(), r); err != nil {
				t.Fatalf("after %d resets: %v", i, err)
			}
		}
	}
	if most > before+10*maxStreams {
		t.Errorf("%d goroutines while calls were reset, %d before", most, before)
	}
	conn.Close()
	<-ended
	wait(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before+5 })
}

// TestGRPCHangUp: what a client no longer waits for is not computed, and is counted as its own doing.
func TestGRPCHangUp(t *testing.T) {
	s, conn, _ := startGRPC(t, Options{Threads: 1}, bundled)
	r, _ := pixelRequest(t, s, bundled.Name, 500)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := pb.NewGRPCInferenceServiceClient(conn).ModelInfer(ctx, r)
		failed <- err
	}()
	wait(t, "the images to be admitted", func() bool { return s.admitted.Load() == 500 })
	cancel()
	if err := <-failed; status.Code(err) != codes.Canceled {
		t.Errorf("the call ended with %v", err)
	}
	wait(t, "the images to leave", func() bool { return s.admitted.Load() == 0 })
}

// TestGRPCMistaken: a client of plain HTTP learns that it has the wrong address.
func TestGRPCMistaken(t *testing.T) {
	s, _, _ := startGRPC(t, Options{Threads: 1}, withLadder(t))
	resp, b := call(t, "GET", "http://"+s.Addresses()["grpc"]+"/v2", nil)
	if resp.StatusCode != http.StatusUnsupportedMediaType || !strings.Contains(string(b), "HTTP address") {
		t.Errorf("%s: %s", resp.Status, b)
	}
}

// wait fails unless something is so before long.
func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	for begin := time.Now(); !is(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// rawHTTP2 opens a connection whose frames the test writes itself.
func rawHTTP2(t *testing.T, s *Server) (net.Conn, *http2.Framer) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addresses()["grpc"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, nil)
	if err := errors.Join(framer.WriteSettings(), framer.WriteSettingsAck()); err != nil {
		t.Fatal(err)
	}
	return conn, framer
}

// openStream begins a call.
func openStream(t *testing.T, framer *http2.Framer, id uint32, path string) error {
	t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSize(0)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "test"}, {":path", path},
		{"content-type", "application/grpc"}, {"te", "trailers"}} {
		if err := encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			t.Fatal(err)
		}
	}
	return framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true})
}
