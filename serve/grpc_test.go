package serve

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/adavit/adavit/internal/modeltest"
	pb "github.com/adavit/adavit/serve/inferencepb"
)

// startGRPC serves models over gRPC. stop is called at the end of the test, if not before.
func startGRPC(t testing.TB, o Options, models ...Source) (s *Server, conn *grpc.ClientConn, stop func()) {
	t.Helper()
	o.Models, o.GRPC, o.ModelControl = models, "127.0.0.1:0", true
	s, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	conn = dial(t, s, insecure.NewCredentials())
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		conn.Close()
		s.Close()
	}
	t.Cleanup(stop)
	return s, conn, stop
}

// dial connects to a server's gRPC.
func dial(t testing.TB, s *Server, c credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(s.Addresses()["grpc"], grpc.WithTransportCredentials(c),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.MaxCallSendMsgSize(1<<30)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// pixelRequest asks for the answers to n images of a model's, whose pixels are 0 or 1 by a pattern.
func pixelRequest(t testing.TB, s *Server, name string, n int) (*pb.ModelInferRequest, Tensor) {
	t.Helper()
	v, err := s.models.acquire(name, "")
	if err != nil {
		t.Fatal(err)
	}
	defer v.users.Done()
	c := &v.config
	in := Tensor{Name: "input", Datatype: FP32, Shape: []int64{int64(n), int64(c.Channels), int64(c.Height),
		int64(c.Width)}, Floats: make([]float32, n*c.ImageLen())}
	for i := range in.Floats {
		in.Floats[i] = float32(i*i%7) / 7
	}
	return &pb.ModelInferRequest{
		ModelName: name,
		Inputs: []*pb.ModelInferRequest_InferInputTensor{
			{Name: in.Name, Datatype: string(in.Datatype), Shape: in.Shape}},
		RawInputContents: [][]byte{in.AppendBinary(nil)},
	}, in
}

// TestGRPCInfer asks the same in every form that gRPC has: the answers are those of Infer, bit by bit.
func TestGRPCInfer(t *testing.T) {
	s, conn, _ := startGRPC(t, Options{Threads: 2}, withLadder(t), bundled)
	client := pb.NewGRPCInferenceServiceClient(conn)
	for _, name := range []string{"small", bundled.Name} {
		raw, in := pixelRequest(t, s, name, 3)
		want, err := s.Infer(t.Context(), &Request{Model: name, Inputs: []Tensor{in}})
		if err != nil {
			t.Fatal(err)
		}
		typed := &pb.ModelInferRequest{ModelName: name, Id: "7", Inputs: []*pb.ModelInferRequest_InferInputTensor{
			{Name: "input", Datatype: "FP32", Shape: in.Shape, Contents: &pb.InferTensorContents{Fp32Contents: in.Floats}}}}
		yes := map[string]*pb.InferParameter{"binary_data_output": grpcParameter(true)}
		no := map[string]*pb.InferParameter{"binary_data_output": grpcParameter(false)}
		for form, test := range map[string]struct {
			raw     bool // the answer
			request *pb.ModelInferRequest
		}{
			"raw":   {true, raw},
			"typed": {false, typed},
			"typed, raw answer": {true, &pb.ModelInferRequest{ModelName: name, ModelVersion: "1", Inputs: typed.Inputs,
				Parameters: yes}},
			"raw, typed answer": {false, &pb.ModelInferRequest{ModelName: name, Inputs: raw.Inputs,
				RawInputContents: raw.RawInputContents, Parameters: no}},
		} {
			r := test.request
			got, err := client.ModelInfer(t.Context(), r)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, form, err)
			}
			if got.ModelName != name || got.ModelVersion != "1" || got.Id != r.Id || len(got.Outputs) != 3 {
				t.Errorf("%s, %s: %d outputs of model %q, version %q, id %q", name, form, len(got.Outputs), got.ModelName,
					got.ModelVersion, got.Id)
			}
			for i, o := range got.Outputs {
				w := want.Outputs[i]
				same := slices.Equal(o.Contents.GetFp32Contents(), w.Floats) &&
					slices.Equal(o.Contents.GetIntContents(), w.Ints)
				if test.raw {
					same = len(got.RawOutputContents) == 3 && o.Contents == nil &&
						bytes.Equal(got.RawOutputContents[i], w.AppendBinary(nil))
				}
				if !same || o.Name != w.Name || o.Datatype != string(w.Datatype) || !slices.Equal(o.Shape, w.Shape) {
					t.Errorf("%s, %s: output %v, want %+v", name, form, o, w)
				}
			}
			p := got.Parameters
			if p["token_blocks"].GetInt64Param() != int64(want.TokenBlocks) || p["macs"].GetInt64Param() != want.MACs ||
				p["compute_budget_applied"].GetDoubleParam() != want.Applied || p["budget_reason"].GetStringParam() != "default" {
				t.Errorf("%s, %s: parameters %v", name, form, p)
			}
		}
	}
}

// TestGRPCBudget asks for budgets in all ways that clients have.
func TestGRPCBudget(t *testing.T) {
	s, conn, _ := startGRPC(t, Options{Threads: 1}, withLadder(t))
	client := pb.NewGRPCInferenceServiceClient(conn)
	r, _ := pixelRequest(t, s, "small", 1)
	for _, test := range []struct {
		parameters map[string]*pb.InferParameter
		header     string
		want       float64
		max        float64
	}{
		{parameters: map[string]*pb.InferParameter{"compute_budget": grpcParameter(0.5)}, want: 0.5},
		{parameters: map[string]*pb.InferParameter{"compute_budget": grpcParameter("0.5")}, want: 0.5},
		{parameters: map[string]*pb.InferParameter{"compute_budget": grpcParameter(int64(1))}, want: 1},
		{parameters: map[string]*pb.InferParameter{"compute_budget_max": grpcParameter(0.25)}, want: 0.25, max: 0.25},
		{header: "0.5", want: 0.5},
		{header: "0.5,0.25", want: 0.25, max: 0.25},
		{parameters: map[string]*pb.InferParameter{"compute_budget": grpcParameter(0.3)}, header: "0.9", want: 0.3},
	} {
		r.Parameters = test.parameters
		ctx := t.Context()
		if test.header != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "x-compute-budget", test.header)
		}
		got, err := client.ModelInfer(ctx, r)
		if err != nil {
			t.Fatalf("%+v: %v", test, err)
		}
		p, dense := got.Parameters, float64(s.models.entries[0].versions[0].dense)
		if p["compute_budget_applied"].GetDoubleParam() != test.want || p["budget_reason"].GetStringParam() != "client" ||
			test.max > 0 && float64(p["token_blocks"].GetInt64Param()) > test.max*dense {
			t.Errorf("%+v: parameters %v", test, p)
		}
	}
}

// TestGRPCErrors makes mistakes and looks at the codes.
func TestGRPCErrors(t *testing.T) {
	s, conn, _ := startGRPC(t, Options{Threads: 1, MaxBody: 100_000, MaxQueue: 4}, withLadder(t), bundled,
		Source{"dense", "fashion-dense"})
	client := pb.NewGRPCInferenceServiceClient(conn)
	infer := func(change func(*pb.ModelInferRequest), options ...grpc.CallOption) error {
		r, _ := pixelRequest(t, s, bundled.Name, 1)
		change(r)
		_, err := client.ModelInfer(t.Context(), r, options...)
		return err
	}
	parameter := func(name string, v any) func(*pb.ModelInferRequest) {
		return func(r *pb.ModelInferRequest) {
			r.Parameters = map[string]*pb.InferParameter{name: grpcParameter(v)}
		}
	}
	picture := func(file []byte) func(*pb.ModelInferRequest) {
		return func(r *pb.ModelInferRequest) {
			*r.Inputs[0] = pb.ModelInferRequest_InferInputTensor{Name: "image", Datatype: "BYTES", Shape: []int64{1},
				Contents: &pb.InferTensorContents{BytesContents: [][]byte{file}}}
			r.RawInputContents = nil
		}
	}
	file := pictures(t, modeltest.Fashion(t), 1)[0]
	_, loadErr := client.RepositoryModelLoad(t.Context(), &pb.RepositoryModelLoadRequest{ModelName: "small",
		Parameters: map[string]*pb.ModelRepositoryParameter{"config": nil}})
	_, nobody := client.ModelReady(t.Context(), &pb.ModelReadyRequest{Name: "nobody"})
	_, traces := client.TraceSetting(t.Context(), &pb.TraceSettingRequest{})
	_, shared := client.CudaSharedMemoryRegister(t.Context(), &pb.CudaSharedMemoryRegisterRequest{})
	_, health := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "nobody"})
	for i, test := range []struct {
		err  error
		want codes.Code
		says string
	}{
		{infer(func(r *pb.ModelInferRequest) { r.ModelName = "nobody" }), codes.NotFound, "nobody"},
		{infer(func(r *pb.ModelInferRequest) { r.ModelVersion = "2" }), codes.NotFound, "version"},
		{infer(func(r *pb.ModelInferRequest) { r.Inputs[0].Shape[0] = 2 }), codes.InvalidArgument, "shape"},
		{infer(func(r *pb.ModelInferRequest) { r.Inputs[0].Datatype = "FP16" }), codes.InvalidArgument, "FP16"},
		{infer(func(r *pb.ModelInferRequest) { r.RawInputContents = append(r.RawInputContents, nil) }),
			codes.InvalidArgument, "2 raw_input_contents"},
		{infer(func(r *pb.ModelInferRequest) { r.RawInputContents = nil }), codes.InvalidArgument, "fp32_contents"},
		{infer(func(r *pb.ModelInferRequest) { r.Inputs[0].Contents = &pb.InferTensorContents{} }), codes.InvalidArgument,
			"both"},
		{infer(func(r *pb.ModelInferRequest) {
			r.RawInputContents = nil
			r.Inputs[0].Contents = &pb.InferTensorContents{IntContents: []int32{1}}
		}), codes.InvalidArgument, "other types"},
		{infer(func(r *pb.ModelInferRequest) {
			r.Inputs[0].Parameters = map[string]*pb.InferParameter{"shared_memory_region": grpcParameter("x")}
		}), codes.InvalidArgument, "shared memory"},
		{infer(func(r *pb.ModelInferRequest) {
			r.Outputs = []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "logits",
				Parameters: map[string]*pb.InferParameter{"classification": grpcParameter(1.5)}}}
		}), codes.InvalidArgument, "whole number"},
		{infer(func(r *pb.ModelInferRequest) {
			parameter("compute_budget", 0.5)(r)
			r.ModelName = "dense" // which has no ladder
		}), codes.InvalidArgument, "calibrate"},
		{infer(parameter("compute_budget_max", "much")), codes.InvalidArgument, "number"},
		{infer(parameter("compute_budget_max", nil)), codes.InvalidArgument, "no value"},
		{infer(parameter("timeout", int64(1))), codes.DeadlineExceeded, "deadline"},
		{infer(picture(file[:60])), codes.InvalidArgument, "damaged"},
		{infer(picture([]byte("no picture"))), codes.InvalidArgument, "send the file itself"},
		{infer(picture(make([]byte, 200_000))), codes.ResourceExhausted, "--max-body"},
		{infer(picture(make([]byte, 200_000)), grpc.UseCompressor(gzip.Name)), codes.ResourceExhausted, "--max-body"},
		{infer(func(r *pb.ModelInferRequest) {
			many, _ := pixelRequest(t, s, bundled.Name, 5)
			r.Inputs, r.RawInputContents = many.Inputs, many.RawInputContents
		}), codes.ResourceExhausted, "in parts"},
		{loadErr, codes.InvalidArgument, "config"},
		{nobody, codes.NotFound, "nobody"},
		{traces, codes.Unimplemented, "traceparent"},
		{shared, codes.Unimplemented, "in the request"},
		{health, codes.NotFound, "nobody"},
	} {
		if status.Code(test.err) != test.want || !strings.Contains(fmt.Sprint(test.err), test.says) {
			t.Errorf("%d: %v, want %v with %q", i, test.err, test.want, test.says)
		}
	}
	if held := s.memory.used.Load(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
	if err := infer(func(*pb.ModelInferRequest) {}, grpc.UseCompressor(gzip.Name)); err != nil {
		t.Error(err)
	}
}

// TestGRPCOverload: an answer to one request too many says when to come back, whether it is for images or for memory.
func TestGRPCOverload(t *testing.T) {
	s, conn, _ := startGRPC(t, Options{Threads: 1, MaxQueue: 2}, withLadder(t))
	client := pb.NewGRPCInferenceServiceClient(conn)
	r, _ := pixelRequest(t, s, "small", 1)
	check := func(what string) {
		t.Helper()
		_, err := client.ModelInfer(t.Context(), r)
		st, retry := status.Convert(err), time.Duration(0)
		for _, d := range st.Details() {
			if info, ok := d.(*errdetails.RetryInfo); ok {
				retry = info.RetryDelay.AsDuration()
			}
		}
		if st.Code() != codes.Unavailable || retry <= 0 {
			t.Errorf("%s: %v, retry after %v", what, err, retry)
		}
	}
	s.admitted.Add(2)
	check("images")
	s.admitted.Add(-2)
	s.memory.used.Add(s.memory.most)
	check("memory")
	s.memory.used.Add(-s.memory.most)
	if _, err := client.ModelInfer(t.Context(), r); err != nil {
		t.Error(err)
	}
}

// TestGRPCHeaders: ids and traces go through, and times come back.
func TestGRPCHeaders(t *testing.T) {
	s, conn, _ := startGRPC(t, Options{Threads: 1}, withLadder(t))
	r, _ := pixelRequest(t, s, "small", 1)
	trace := "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-request-id", "my-id", "traceparent", trace)
	var header metadata.MD
	if _, err := pb.NewGRPCInferenceServiceClient(conn).ModelInfer(ctx, r, grpc.Header(&header)); err != nil {
		t.Fatal(err)
	}
	if first(header, "x-request-id") != "my-id" || first(header, "traceparent") != trace ||
		!strings.Contains(first(header, "server-timing"), "infer;dur=") {
		t.Errorf("header %v", header)
	}
	err := s.safely("id", "method", func() error { panic("a bug") })
	if err == nil || strings.Contains(err.Error(), "bug") {
		t.Errorf("a panic became %v", err)
	}
}

// TestGRPCHealth looks at the server's state, and at what it says of itself.
func TestGRPCHealth(t *testing.T) {
	s, conn, stop := startGRPC(t, Options{Threads: 1}, withLadder(t))
	health, client := healthpb.NewHealthClient(conn), pb.NewGRPCInferenceServiceClient(conn)
	name, model := pb.GRPCInferenceService_ServiceDesc.ServiceName, s.models.entries[0].Name
	watch, err := health.Watch(t.Context(), &healthpb.HealthCheckRequest{Service: name})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		got, err := watch.Recv()
		if err != nil || got.Status != want {
			t.Fatalf("watched %v %v, want %v", got, err, want)
		}
		one, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{})
		if err != nil || one.Status != want {
			t.Errorf("checked %v %v, want %v", one, err, want)
		}
		all, err := health.List(t.Context(), &healthpb.HealthListRequest{})
		if err != nil || len(all.Statuses) != 3 || all.Statuses[name].GetStatus() != want ||
			all.Statuses[model].GetStatus() != want {
			t.Errorf("listed %v %v, want %v", all, err, want)
		}
		ready, err := client.ServerReady(t.Context(), &pb.ServerReadyRequest{})
		if err != nil || ready.Ready != (want == healthpb.HealthCheckResponse_SERVING) {
			t.Errorf("ready %v %v, want %v", ready, err, want)
		}
	}
	expect(healthpb.HealthCheckResponse_SERVING)
	s.draining.Store(true)
	expect(healthpb.HealthCheckResponse_NOT_SERVING)
	s.draining.Store(false)
	expect(healthpb.HealthCheckResponse_SERVING)

	// More requests on one stream than are read ahead.
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * ahead {
		if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.
			ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name}}); err != nil {
			t.Fatal(err)
		}
		if got, err := stream.Recv(); err != nil || len(got.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
			t.Fatalf("answer %d: %v %v", i, got, err)
		}
	}
	stream.CloseSend()
	go stop()
	for err == nil {
		_, err = watch.Recv()
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the watch ended with %v", err)
	}
	stop()
}
