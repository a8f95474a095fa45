package serve

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// TensorMetadata describes an input or output: −1 stands for any number of images.
type TensorMetadata struct {
	Name     string   `json:"name"`
	Datatype Datatype `json:"datatype"`
	Shape    []int64  `json:"shape"`
}

// ModelMetadata is what the protocol says of a model.
type ModelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []TensorMetadata `json:"inputs"`
	Outputs  []TensorMetadata `json:"outputs"`
}

// Metadata describes a model.
func (s *Server) Metadata(name, number string) (*ModelMetadata, error) {
	v, err := s.models.acquire(name, number)
	if err != nil {
		return nil, err
	}
	defer v.users.Done()
	e, err := s.models.find(name)
	if err != nil {
		return nil, err
	}
	s.models.mu.RLock()
	defer s.models.mu.RUnlock()
	m := &ModelMetadata{Name: v.name, Versions: e.numbers(), Platform: "adavit"}
	m.Inputs, m.Outputs = v.tensors()
	return m, nil
}

// tensors describes the inputs, of which a request has one, and the outputs.
func (v *version) tensors() (inputs, outputs []TensorMetadata) {
	c := &v.config
	classes := []int64{-1, int64(c.Classes)}
	return []TensorMetadata{
			{inputPixels, FP32, []int64{-1, int64(c.Channels), int64(c.Height), int64(c.Width)}},
			{inputImage, Bytes, []int64{-1}},
		}, []TensorMetadata{
			{outputLogits, FP32, classes},
			{outputProbabilities, FP32, classes},
			{outputDepth, INT32, []int64{-1, int64(c.Tokens())}},
		}
}

// ModelConfig is what Triton's clients ask for besides the metadata: sizes without the number of images.
type ModelConfig struct {
	Name         string         `json:"name"`
	Platform     string         `json:"platform"`
	Backend      string         `json:"backend"`
	MaxBatchSize int            `json:"max_batch_size"`
	Inputs       []TensorConfig `json:"input"`
	Outputs      []TensorConfig `json:"output"`
}

// TensorConfig describes a tensor in a ModelConfig.
type TensorConfig struct {
	Name     string  `json:"name"`
	DataType string  `json:"data_type"`
	Dims     []int64 `json:"dims"`
	Optional bool    `json:"optional,omitempty"`
}

// Config describes a model as Triton does.
func (s *Server) Config(name, number string) (*ModelConfig, error) {
	v, err := s.models.acquire(name, number)
	if err != nil {
		return nil, err
	}
	defer v.users.Done()
	config := &ModelConfig{Name: v.name, Platform: "adavit", Backend: "adavit", MaxBatchSize: s.options.MaxQueue}
	types := map[Datatype]string{FP32: "TYPE_FP32", INT32: "TYPE_INT32", Bytes: "TYPE_STRING"}
	convert := func(list []TensorMetadata, optional bool) (out []TensorConfig) {
		for _, t := range list {
			dims := t.Shape[1:]
			if len(dims) == 0 {
				dims = []int64{1}
			}
			out = append(out, TensorConfig{t.Name, types[t.Datatype], dims, optional})
		}
		return out
	}
	inputs, outputs := v.tensors()
	config.Inputs, config.Outputs = convert(inputs, true), convert(outputs, false)
	return config, nil
}

// Ready reports whether a model answers, or the server with all its models for "". A server that drains does not.
func (s *Server) Ready(name, number string) (bool, error) {
	ready, err := s.models.ready(name, number)
	return ready && !s.draining.Load(), err
}

// Load loads a model again from where it is, and swaps it in once it has answered an image. After an error what was
// there before goes on.
func (s *Server) Load(ctx context.Context, name string) error {
	if !s.options.ModelControl {
		return errNoControl
	}
	return s.controlled(s.models.load(ctx, name))
}

// Unload takes a model out of service.
func (s *Server) Unload(name string) error {
	if !s.options.ModelControl {
		return errNoControl
	}
	return s.controlled(s.models.unload(name))
}

var errNoControl = refuse(http.StatusForbidden, "this server's models are not for clients to load and unload "+
	"(--model-control=none)")

// statistics counts what a version of a model has answered.
type statistics struct {
	mu   sync.Mutex
	last time.Time
	StatisticsTimes
	images, passes int64
}

// StatisticsTimes are the durations of the protocol's statistics.
type StatisticsTimes struct {
	Success StatisticsTime `json:"success"`
	Fail    StatisticsTime `json:"fail"`
	Queue   StatisticsTime `json:"queue"`
	Input   StatisticsTime `json:"compute_input"` // decoding and resizing
	Infer   StatisticsTime `json:"compute_infer"`
	Output  StatisticsTime `json:"compute_output"`
	Hit     StatisticsTime `json:"cache_hit"` // there is no cache
	Miss    StatisticsTime `json:"cache_miss"`
}

// StatisticsTime is how often something happened, and how long that took in all.
type StatisticsTime struct {
	Count int64         `json:"count"`
	Total time.Duration `json:"ns"`
}

func (t *StatisticsTime) add(d time.Duration) { t.Count, t.Total = t.Count+1, t.Total+d }

// failed counts a request that got an error.
func (s *statistics) failed(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Fail.add(took)
}

// answered counts a request that got its answer, of so many images.
func (s *statistics) answered(n int, t Times) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = time.Now()
	s.images += int64(n)
	s.Success.add(t.Total)
	s.Queue.add(t.Queue)
	s.Input.add(t.Decode)
	s.Infer.add(t.Infer)
	s.Output.add(max(0, t.Total-t.Decode-t.Queue-t.Infer))
}

// ran counts a pass.
func (s *statistics) ran() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passes++
}

// ModelStatistics is what the protocol's statistics say of a version of a model.
type ModelStatistics struct {
	Name       string          `json:"name"`
	Version    string          `json:"version"`
	Last       int64           `json:"last_inference"`  // milliseconds since 1970
	Inferences int64           `json:"inference_count"` // images
	Executions int64           `json:"execution_count"` // passes
	Times      StatisticsTimes `json:"inference_stats"`
	Batches    []struct{}      `json:"batch_stats"`
}

// Statistics is what the protocol's statistics say of a model, of all for "".
type Statistics struct {
	Models []ModelStatistics `json:"model_stats"`
}

// Statistics tells what a model has answered, all versions of it for "", all models for "".
func (s *Server) Statistics(name, number string) (*Statistics, error) {
	if name != "" {
		v, err := s.models.acquire(name, number)
		if err != nil {
			return nil, err
		}
		v.users.Done()
	}
	all := &Statistics{Models: []ModelStatistics{}}
	s.models.mu.RLock()
	defer s.models.mu.RUnlock()
	for _, e := range s.models.entries {
		for _, v := range e.versions {
			if name != "" && e.Name != name || number != "" && strconv.Itoa(v.number) != number {
				continue
			}
			all.Models = append(all.Models, v.statistics())
		}
	}
	return all, nil
}

func (v *version) statistics() ModelStatistics {
	s := &v.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	m := ModelStatistics{Name: v.name, Version: strconv.Itoa(v.number), Inferences: s.images, Executions: s.passes,
		Times: s.StatisticsTimes, Batches: []struct{}{}}
	if !s.last.IsZero() {
		m.Last = s.last.UnixMilli()
	}
	return m
}

// controlled adds to an error of loading what a client can do.
func (s *Server) controlled(err error) error {
	if err == nil || asError(err).Status != http.StatusInternalServerError {
		return err
	}
	return refuse(http.StatusBadRequest, "%v", err)
}
