package serve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	pb "github.com/adavit/adavit/serve/inferencepb"
)

// grpcService is the Open Inference Protocol's service.
type grpcService struct {
	pb.UnimplementedGRPCInferenceServiceServer
	server   *Server
	stopping <-chan struct{}
}

// ModelInfer answers one request.
func (g *grpcService) ModelInfer(ctx context.Context, in *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
	out, times, err := g.infer(ctx, in)
	if err != nil {
		return nil, err
	}
	grpc.SetHeader(ctx, metadata.Pairs("server-timing", times.header())) // fails only outside of a call
	return out, nil
}

func (g *grpcService) infer(ctx context.Context, in *pb.ModelInferRequest) (*pb.ModelInferResponse, Times, error) {
	r, raw, ignored, err := parseGRPC(in)
	if err != nil {
		return nil, Times{}, err
	}
	md, _ := metadata.FromIncomingContext(ctx)
	if err := budgetHeader(first(md, "x-compute-budget"), r); err != nil {
		return nil, Times{}, err
	}
	resp, err := g.server.Infer(ctx, r)
	if err != nil {
		return nil, Times{}, err
	}
	return grpcResponse(resp, raw, ignored), resp.Times, nil
}

// ModelStreamInfer answers requests in the order in which they come, the next ones under way while the first is
// answered. An error of one is told in its place, and the stream goes on. It ends when the server is to stop.
func (g *grpcService) ModelStreamInfer(stream pb.GRPCInferenceService_ModelStreamInferServer) error {
	ctx := stream.Context()
	requests := make(chan *pb.ModelInferRequest)
	var end error // of the requests; read once they are closed
	go func() {
		defer close(requests)
		for {
			in, err := stream.Recv()
			if err != nil {
				end = err
				return
			}
			select {
			case requests <- in:
			case <-ctx.Done():
				end = ctx.Err()
				return
			}
		}
	}()
	answers := make(chan chan *pb.ModelStreamInferResponse, ahead)
	sent := make(chan error, 1)
	go func() {
		var failed error
		for answer := range answers {
			out := <-answer
			if failed == nil {
				failed = stream.Send(out)
			}
			answered(ctx)
		}
		sent <- failed
	}()
	stopped := g.stream(ctx, requests, answers)
	close(answers)
	if err := <-sent; err != nil {
		return clientError(err)
	}
	switch {
	case stopped:
		return refuse(http.StatusServiceUnavailable, "the server is about to stop; connect again")
	case errors.Is(end, io.EOF):
		return nil
	}
	return end
}

// stream has requests answered until there are no more, or the server is to stop: then it reports true.
func (g *grpcService) stream(ctx context.Context, requests <-chan *pb.ModelInferRequest,
	answers chan<- chan *pb.ModelStreamInferResponse) (stopped bool) {
	for {
		select {
		case in, ok := <-requests:
			if !ok {
				return false
			}
			answer := make(chan *pb.ModelStreamInferResponse, 1)
			answers <- answer
			go func() { answer <- g.streamed(ctx, in) }()
		case <-g.stopping:
			return true
		}
	}
}

// streamed answers one request of a stream.
func (g *grpcService) streamed(ctx context.Context, in *pb.ModelInferRequest) *pb.ModelStreamInferResponse {
	s, method, begin, told := g.server, pb.GRPCInferenceService_ModelStreamInfer_FullMethodName, time.Now(), http.StatusOK
	var out *pb.ModelInferResponse
	id, _ := ctx.Value(idKey{}).(string)
	err := s.safely(id, method, func() (err error) {
		out, _, err = g.infer(ctx, in)
		return err
	})
	answer := &pb.ModelStreamInferResponse{InferResponse: out}
	if err != nil {
		known := asError(err)
		told = known.Status
		answer.ErrorMessage = known.Message
		answer.InferResponse = &pb.ModelInferResponse{ModelName: in.ModelName, ModelVersion: in.ModelVersion, Id: in.Id}
	}
	s.metrics.requests(method, http.MethodPost, told, time.Since(begin))
	return answer
}

// parseGRPC reads a request. raw says whether the answer's elements are to be bytes: as the request's are, unless it
// says otherwise.
func parseGRPC(in *pb.ModelInferRequest) (r *Request, raw bool, ignored []string, err error) {
	r = &Request{Model: in.ModelName, Version: in.ModelVersion, ID: in.Id}
	parameters, err := grpcParameters(in.Parameters)
	if err == nil {
		err = parameters.apply(r)
	}
	if err != nil {
		return nil, false, nil, err
	}
	if n := len(in.RawInputContents); n > 0 && n != len(in.Inputs) {
		return nil, false, nil, refuse(http.StatusBadRequest,
			"%d raw_input_contents for %d inputs, want one for each, or none", n, len(in.Inputs))
	}
	raw = len(in.RawInputContents) > 0
	for i, t := range in.Inputs {
		tensor := Tensor{Name: t.Name, Datatype: Datatype(t.Datatype), Shape: t.Shape}
		p, err := grpcParameters(t.Parameters)
		if err == nil {
			err = p.here()
		}
		switch {
		case err != nil:
		case raw && t.Contents != nil:
			err = tensor.wrong("it has both contents and raw_input_contents; give one")
		case raw:
			err = tensor.decode(in.RawInputContents[i])
		default:
			err = tensor.contents(t.Contents)
		}
		if err != nil {
			return nil, false, nil, err
		}
		r.Inputs = append(r.Inputs, tensor)
	}
	for _, o := range in.Outputs {
		p, err := grpcParameters(o.Parameters)
		if err != nil {
			return nil, false, nil, err
		}
		if err := p.here(); err != nil {
			return nil, false, nil, err
		}
		classes, err := p.classes(o.Name)
		if err != nil {
			return nil, false, nil, err
		}
		ignored = append(ignored, p.others(paramBinaryData, paramClasses)...)
		r.Outputs = append(r.Outputs, Output{o.Name, classes})
	}
	if on, ok := parameters[paramBinary].(bool); ok {
		raw = on
	}
	return r, raw, append(ignored, parameters.others(requestParameters...)...), nil
}

// grpcParameters are parameters as every interface has them.
func grpcParameters(in map[string]*pb.InferParameter) (Parameters, error) {
	p := Parameters{}
	for name, v := range in {
		switch v := v.GetParameterChoice().(type) {
		case *pb.InferParameter_BoolParam:
			p[name] = v.BoolParam
		case *pb.InferParameter_Int64Param:
			p[name] = v.Int64Param
		case *pb.InferParameter_StringParam:
			p[name] = v.StringParam
		case *pb.InferParameter_DoubleParam:
			p[name] = v.DoubleParam
		case *pb.InferParameter_Uint64Param:
			p[name] = float64(v.Uint64Param)
		default:
			return nil, refuse(http.StatusBadRequest, "parameter %.40q has no value, or one of a type that is not known here",
				name)
		}
	}
	return p, nil
}

// grpcParameter is the value of a parameter.
func grpcParameter(v any) *pb.InferParameter {
	switch v := v.(type) {
	case bool:
		return &pb.InferParameter{ParameterChoice: &pb.InferParameter_BoolParam{BoolParam: v}}
	case int64:
		return &pb.InferParameter{ParameterChoice: &pb.InferParameter_Int64Param{Int64Param: v}}
	case float64:
		return &pb.InferParameter{ParameterChoice: &pb.InferParameter_DoubleParam{DoubleParam: v}}
	case string:
		return &pb.InferParameter{ParameterChoice: &pb.InferParameter_StringParam{StringParam: v}}
	}
	return nil
}

// contents fills the tensor with elements that are typed.
func (t *Tensor) contents(c *pb.InferTensorContents) error {
	n, err := elements(t.Shape)
	if err != nil {
		return t.wrong("%v", err)
	}
	all := len(c.GetBoolContents()) + len(c.GetIntContents()) + len(c.GetInt64Contents()) + len(c.GetUintContents()) +
		len(c.GetUint64Contents()) + len(c.GetFp32Contents()) + len(c.GetFp64Contents()) + len(c.GetBytesContents())
	var have int
	var field string
	switch t.Datatype {
	case FP32:
		t.Floats, field = c.GetFp32Contents(), "fp32_contents"
		have = len(t.Floats)
	case INT32:
		t.Ints, field = c.GetIntContents(), "int_contents"
		have = len(t.Ints)
	case Bytes:
		t.Bytes, field = c.GetBytesContents(), "bytes_contents"
		have = len(t.Bytes)
	default:
		return t.wrong("type %q is not one of FP32, INT32, BYTES", t.Datatype)
	}
	switch {
	case all > have:
		return t.wrong("%d elements of other types; those of %s belong into %s", all-have, t.Datatype, field)
	case have != n:
		return t.wrong("%d elements in %s, but shape %v has %d", have, field, t.Shape, n)
	}
	return nil
}

// grpcResponse is a response as gRPC has it.
func grpcResponse(r *Response, raw bool, ignored []string) *pb.ModelInferResponse {
	out := &pb.ModelInferResponse{ModelName: r.Model, ModelVersion: r.Version, Id: r.ID,
		Parameters: map[string]*pb.InferParameter{}}
	for name, v := range r.Parameters(ignored) {
		out.Parameters[name] = grpcParameter(v)
	}
	for i := range r.Outputs {
		t := &r.Outputs[i]
		o := &pb.ModelInferResponse_InferOutputTensor{Name: t.Name, Datatype: string(t.Datatype), Shape: t.Shape}
		if raw {
			out.RawOutputContents = append(out.RawOutputContents, t.AppendBinary(nil))
		} else {
			o.Contents = &pb.InferTensorContents{Fp32Contents: t.Floats, IntContents: t.Ints, BytesContents: t.Bytes}
		}
		out.Outputs = append(out.Outputs, o)
	}
	return out
}
