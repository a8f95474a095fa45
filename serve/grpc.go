package serve

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/adavit/adavit/serve/inferencepb"
	"github.com/adavit/adavit/serve/secure"
)

// maxStreams bounds how many calls of one connection are under way at once. A client that begins more, or resets them
// and begins new ones before the old have ended, waits, and then loses its connection.
const maxStreams = 250

// grpcHandler answers gRPC: the Open Inference Protocol, health checks and reflection. It stands on net/http's server
// rather than on grpc's own, so that the bounds of HTTP hold for it too: on connections and their streams, and on what
// a message holds of the memory of all requests, from its first byte on. Streams end when stopping is closed.
func (s *Server) grpcHandler(stopping <-chan struct{}) http.Handler {
	g := grpc.NewServer(grpc.MaxRecvMsgSize(int(s.options.MaxBody)), grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream))
	pb.RegisterGRPCInferenceServiceServer(g, &grpcService{server: s, stopping: stopping})
	grpc_health_v1.RegisterHealthServer(g, &grpcHealth{server: s, stopping: stopping})
	reflection.Register(g)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			http.Error(w, "gRPC over HTTP/2 is spoken here; everything else, at the server's HTTP address",
				http.StatusUnsupportedMediaType)
			return
		}
		body, r := s.messages(w, r)
		defer body.release()
		g.ServeHTTP(w, r)
	})
}

// serveGRPC returns functions that serve gRPC, over HTTP/2 with TLS or without it, and end that when what is under way
// is answered or the context ends. Streams are told at once.
func (s *Server) serveGRPC() (serve func(net.Listener) error, stop func(context.Context)) {
	stopping := make(chan struct{})
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // who comes by mistake is told
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           s.grpcHandler(stopping),
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       10 * time.Minute, // clients keep connections, and open new ones without being asked to
		MaxHeaderBytes:    16 << 10,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			SendPingTimeout:      time.Minute, // of silence: is the client still there?
			PingTimeout:          20 * time.Second,
			WriteByteTimeout:     time.Minute,
		},
		ConnState: s.connections.State,
		ErrorLog:  slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	serve = func(l net.Listener) error {
		if s.options.TLS != nil {
			server.TLSConfig = s.options.TLS.Config("h2")
			return server.ServeTLS(l, "", "")
		}
		return server.Serve(l)
	}
	stop = func(ctx context.Context) {
		close(stopping)
		if server.Shutdown(ctx) != nil {
			server.Close()
		}
	}
	return serve, stop
}

// grpcScope is what a caller must be allowed to call a method.
func grpcScope(method string) secure.Scope {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	switch {
	case service != pb.GRPCInferenceService_ServiceDesc.ServiceName:
		return anyone // health and reflection
	case strings.HasPrefix(name, "Server"):
		return anyone
	case name == "RepositoryIndex" || strings.HasPrefix(name, "Model"):
		return secure.Infer
	}
	return secure.Admin
}

// unary is around every call of one request.
func (s *Server) unary(ctx context.Context, in any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	var out any
	err := s.call(ctx, info.FullMethod, func(ctx context.Context) (err error) {
		out, err = next(ctx, in)
		return err
	})
	return out, err
}

// stream is around every call of several requests.
func (s *Server) stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo,
	next grpc.StreamHandler) error {
	return s.call(stream.Context(), info.FullMethod, func(ctx context.Context) error {
		small := info.FullMethod != pb.GRPCInferenceService_ModelStreamInfer_FullMethodName
		return next(service, &callStream{stream, ctx, small})
	})
}

// callStream is a stream with another context, and with the errors of its messages.
type callStream struct {
	grpc.ServerStream
	ctx   context.Context
	small bool // requests are no more than what they are unpacked into: each is done with once it was received
}

func (s *callStream) Context() context.Context { return s.ctx }

func (s *callStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if err := refusal(s.ctx); err != nil && proto.Size(m.(proto.Message)) == 0 { // not of those before it
		return err
	}
	if s.small {
		answered(s.ctx)
	}
	return nil
}

// call is what answer is for HTTP: an id, a log line, metrics, an error's status, and a panic that costs nobody else
// anything.
func (s *Server) call(ctx context.Context, method string, do func(context.Context) error) error {
	begin := time.Now()
	md, _ := metadata.FromIncomingContext(ctx)
	id := requestID(first(md, "x-request-id"))
	header := metadata.Pairs("x-request-id", id)
	if trace := traceparent(first(md, "traceparent")); trace != "" {
		header.Set("traceparent", trace)
	}
	grpc.SetHeader(ctx, header) // fails only outside of a call
	ctx = context.WithValue(ctx, idKey{}, id)
	err := s.safely(id, method, func() error {
		if err := refusal(ctx); err != nil {
			return err
		}
		return do(ctx)
	})
	told := http.StatusOK
	if err != nil {
		known := asError(err)
		told, err = known.Status, grpcError(known)
	}
	took := time.Since(begin)
	s.metrics.requests(method, http.MethodPost, told, took)
	s.logRequest(ctx, id, "gRPC", method, told, took, err)
	return err
}

// first returns the first of a name's values.
func first(md metadata.MD, name string) string {
	if values := md.Get(name); len(values) > 0 {
		return values[0]
	}
	return ""
}

// grpcCodes has the codes of gRPC for the statuses of HTTP that errors have here.
var grpcCodes = map[int]codes.Code{
	http.StatusBadRequest:            codes.InvalidArgument,
	http.StatusUnauthorized:          codes.Unauthenticated,
	http.StatusForbidden:             codes.PermissionDenied,
	http.StatusNotFound:              codes.NotFound,
	http.StatusRequestTimeout:        codes.DeadlineExceeded,
	http.StatusConflict:              codes.FailedPrecondition,
	http.StatusRequestEntityTooLarge: codes.ResourceExhausted,
	http.StatusUnsupportedMediaType:  codes.InvalidArgument,
	http.StatusUnprocessableEntity:   codes.InvalidArgument,
	statusClientGone:                 codes.Canceled,
	http.StatusNotImplemented:        codes.Unimplemented,
	http.StatusServiceUnavailable:    codes.Unavailable,
	http.StatusGatewayTimeout:        codes.DeadlineExceeded,
}

// grpcError is an error as gRPC has it, with the time after which to try again.
func grpcError(e *Error) error {
	code, ok := grpcCodes[e.Status]
	if !ok {
		code = codes.Internal
	}
	st := status.New(code, e.Message)
	if e.RetryAfter > 0 {
		if with, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)}); err == nil {
			st = with
		}
	}
	return st.Err()
}
