package serve

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "github.com/adavit/adavit/serve/inferencepb"
)

// ServerLive says that the process answers.
func (g *grpcService) ServerLive(context.Context, *pb.ServerLiveRequest) (*pb.ServerLiveResponse, error) {
	return &pb.ServerLiveResponse{Live: true}, nil
}

// ServerReady says whether all models answer.
func (g *grpcService) ServerReady(context.Context, *pb.ServerReadyRequest) (*pb.ServerReadyResponse, error) {
	ready, err := g.server.Ready("", "")
	return &pb.ServerReadyResponse{Ready: ready}, err
}

// ModelReady says whether a model answers.
func (g *grpcService) ModelReady(_ context.Context, in *pb.ModelReadyRequest) (*pb.ModelReadyResponse, error) {
	ready, err := g.server.Ready(in.Name, in.Version)
	return &pb.ModelReadyResponse{Ready: ready}, err
}

// ServerMetadata names the server and its extensions of the protocol.
func (g *grpcService) ServerMetadata(context.Context, *pb.ServerMetadataRequest) (*pb.ServerMetadataResponse, error) {
	return &pb.ServerMetadataResponse{Name: "adavit", Version: g.server.options.Version, Extensions: extensions}, nil
}

// ModelMetadata describes a model's inputs and outputs.
func (g *grpcService) ModelMetadata(_ context.Context, in *pb.ModelMetadataRequest) (*pb.ModelMetadataResponse, error) {
	m, err := g.server.Metadata(in.Name, in.Version)
	if err != nil {
		return nil, err
	}
	tensors := func(list []TensorMetadata) (out []*pb.ModelMetadataResponse_TensorMetadata) {
		for _, t := range list {
			out = append(out, &pb.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: string(t.Datatype),
				Shape: t.Shape})
		}
		return out
	}
	return &pb.ModelMetadataResponse{Name: m.Name, Versions: m.Versions, Platform: m.Platform, Inputs: tensors(m.Inputs),
		Outputs: tensors(m.Outputs)}, nil
}

// ModelConfig describes a model as Triton does.
func (g *grpcService) ModelConfig(_ context.Context, in *pb.ModelConfigRequest) (*pb.ModelConfigResponse, error) {
	c, err := g.server.Config(in.Name, in.Version)
	if err != nil {
		return nil, err
	}
	config := &pb.ModelConfig{Name: c.Name, Platform: c.Platform, Backend: c.Backend,
		MaxBatchSize: int32(c.MaxBatchSize)}
	for _, t := range c.Inputs {
		config.Input = append(config.Input, &pb.ModelInput{Name: t.Name, Dims: t.Dims, Optional: t.Optional,
			DataType: pb.DataType(pb.DataType_value[t.DataType])})
	}
	for _, t := range c.Outputs {
		config.Output = append(config.Output, &pb.ModelOutput{Name: t.Name, Dims: t.Dims,
			DataType: pb.DataType(pb.DataType_value[t.DataType])})
	}
	return &pb.ModelConfigResponse{Config: config}, nil
}

// ModelStatistics tells what a model, or all of them, have answered.
func (g *grpcService) ModelStatistics(_ context.Context, in *pb.ModelStatisticsRequest) (*pb.ModelStatisticsResponse,
	error) {
	all, err := g.server.Statistics(in.Name, in.Version)
	if err != nil {
		return nil, err
	}
	duration := func(t StatisticsTime) *pb.StatisticDuration {
		return &pb.StatisticDuration{Count: uint64(t.Count), Ns: uint64(t.Total)}
	}
	out := &pb.ModelStatisticsResponse{}
	for _, m := range all.Models {
		out.ModelStats = append(out.ModelStats, &pb.ModelStatistics{Name: m.Name, Version: m.Version,
			LastInference: uint64(m.Last), InferenceCount: uint64(m.Inferences), ExecutionCount: uint64(m.Executions),
			InferenceStats: &pb.InferStatistics{Success: duration(m.Times.Success), Fail: duration(m.Times.Fail),
				Queue: duration(m.Times.Queue), ComputeInput: duration(m.Times.Input), ComputeInfer: duration(m.Times.Infer),
				ComputeOutput: duration(m.Times.Output), CacheHit: duration(m.Times.Hit), CacheMiss: duration(m.Times.Miss)}})
	}
	return out, nil
}

// RepositoryIndex lists the models, whether they are loaded or not.
func (g *grpcService) RepositoryIndex(_ context.Context, in *pb.RepositoryIndexRequest) (*pb.RepositoryIndexResponse,
	error) {
	out := &pb.RepositoryIndexResponse{}
	for _, m := range g.server.models.index(in.Ready) {
		out.Models = append(out.Models, &pb.RepositoryIndexResponse_ModelIndex{Name: m.Name, Version: m.Version,
			State: m.State, Reason: m.Reason})
	}
	return out, nil
}

// RepositoryModelLoad loads a model again from where it is.
func (g *grpcService) RepositoryModelLoad(ctx context.Context, in *pb.RepositoryModelLoadRequest) (
	*pb.RepositoryModelLoadResponse, error) {
	if err := loadParameters(in.Parameters); err != nil {
		return nil, err
	}
	return &pb.RepositoryModelLoadResponse{}, g.server.Load(ctx, in.ModelName)
}

// RepositoryModelUnload takes a model out of service.
func (g *grpcService) RepositoryModelUnload(_ context.Context, in *pb.RepositoryModelUnloadRequest) (
	*pb.RepositoryModelUnloadResponse, error) {
	if err := loadParameters(in.Parameters); err != nil {
		return nil, err
	}
	return &pb.RepositoryModelUnloadResponse{}, g.server.Unload(in.ModelName)
}

// loadParameters refuses what a client would have a model loaded with.
func loadParameters(p map[string]*pb.ModelRepositoryParameter) error {
	for name := range p {
		if err := checkLoading(name); err != nil {
			return err
		}
	}
	return nil
}

// unable is the answer to calls about what a server for CPUs has not got.
func unable(format string, args ...any) error {
	return refuse(http.StatusNotImplemented, format, args...)
}

func noSharedMemory() error {
	return unable("there is no shared memory between this server and its clients; send tensors in the request")
}

// SystemSharedMemoryStatus and the following are not implemented.
func (g *grpcService) SystemSharedMemoryStatus(context.Context, *pb.SystemSharedMemoryStatusRequest) (
	*pb.SystemSharedMemoryStatusResponse, error) {
	return nil, noSharedMemory()
}

func (g *grpcService) SystemSharedMemoryRegister(context.Context, *pb.SystemSharedMemoryRegisterRequest) (
	*pb.SystemSharedMemoryRegisterResponse, error) {
	return nil, noSharedMemory()
}

func (g *grpcService) SystemSharedMemoryUnregister(context.Context, *pb.SystemSharedMemoryUnregisterRequest) (
	*pb.SystemSharedMemoryUnregisterResponse, error) {
	return nil, noSharedMemory()
}

func (g *grpcService) CudaSharedMemoryStatus(context.Context, *pb.CudaSharedMemoryStatusRequest) (
	*pb.CudaSharedMemoryStatusResponse, error) {
	return nil, noSharedMemory()
}

func (g *grpcService) CudaSharedMemoryRegister(context.Context, *pb.CudaSharedMemoryRegisterRequest) (
	*pb.CudaSharedMemoryRegisterResponse, error) {
	return nil, noSharedMemory()
}

func (g *grpcService) CudaSharedMemoryUnregister(context.Context, *pb.CudaSharedMemoryUnregisterRequest) (
	*pb.CudaSharedMemoryUnregisterResponse, error) {
	return nil, noSharedMemory()
}

func (g *grpcService) TraceSetting(context.Context, *pb.TraceSettingRequest) (*pb.TraceSettingResponse, error) {
	return nil, unable("traces are not taken here; a traceparent goes through, and GET /metrics has the times")
}

func (g *grpcService) LogSettings(context.Context, *pb.LogSettingsRequest) (*pb.LogSettingsResponse, error) {
	return nil, unable("logs are set by the server's flag --log only")
}

// grpcHealth answers the health checks of gRPC: for the server (""), for the inference service alike, and for each
// model by its name.
type grpcHealth struct {
	healthpb.UnimplementedHealthServer
	server   *Server
	stopping <-chan struct{}
}

// watchInterval is how often what is watched is looked at.
const watchInterval = time.Second / 2

// Check says whether the server takes requests.
func (h *grpcHealth) Check(_ context.Context, in *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	state := h.state(in.Service)
	if state == healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, refuse(http.StatusNotFound, "there is no service %q here", in.Service)
	}
	return &healthpb.HealthCheckResponse{Status: state}, nil
}

// List says it of all services.
func (h *grpcHealth) List(context.Context, *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	out := &healthpb.HealthListResponse{Statuses: map[string]*healthpb.HealthCheckResponse{}}
	names := []string{"", pb.GRPCInferenceService_ServiceDesc.ServiceName}
	for _, e := range h.server.models.entries {
		names = append(names, e.Name)
	}
	for _, name := range names {
		out.Statuses[name] = &healthpb.HealthCheckResponse{Status: h.state(name)}
	}
	return out, nil
}

// Watch says it now and whenever it changes, until the server stops.
func (h *grpcHealth) Watch(in *healthpb.HealthCheckRequest,
	stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	last := healthpb.HealthCheckResponse_ServingStatus(-1)
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		if state := h.state(in.Service); state != last {
			last = state
			if err := stream.Send(&healthpb.HealthCheckResponse{Status: state}); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-h.stopping:
			return refuse(http.StatusServiceUnavailable, "the server is about to stop; connect again")
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func (h *grpcHealth) state(service string) healthpb.HealthCheckResponse_ServingStatus {
	model := service
	if service == pb.GRPCInferenceService_ServiceDesc.ServiceName {
		model = ""
	}
	switch ready, err := h.server.Ready(model, ""); {
	case err != nil:
		return healthpb.HealthCheckResponse_SERVICE_UNKNOWN
	case !ready:
		return healthpb.HealthCheckResponse_NOT_SERVING
	}
	return healthpb.HealthCheckResponse_SERVING
}
