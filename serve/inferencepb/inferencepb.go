// Package inferencepb is the Open Inference Protocol over gRPC, service inference.GRPCInferenceService, with the
// extensions of it that Triton's clients call: model configuration, statistics, repository, streams. The .proto files
// are written from the published protocol and stand beside the code generated from them; names and numbers are those on
// the wire of tritonclient and KServe, which serve/testdata/clients.py compares field by field.
package inferencepb

//go:generate go run -C _gen . inference.proto config.proto
