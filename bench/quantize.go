package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/adavit/adavit/internal/protobuf"
)

// quantizeONNX turns every linear map in the blocks of a model that this project's exporter wrote (Gemm with a weight
// [N, K]) into ONNX Runtime's DynamicQuantizeMatMul with a weight [K, N] in int8, symmetric per column: what its own
// tool for dynamic quantisation (onnxruntime.quantization, per_channel) and the optimiser behind it arrive at. The
// operator quantises its other factor as it comes, with one scale and zero point for all of it. Patch embedding and
// head stay in float32, as the tool leaves them if it is told to quantise MatMul.
func quantizeONNX(file []byte) ([]byte, error) {
	model, err := protobuf.Fields(file)
	if err != nil {
		return nil, err
	}
	var out protobuf.Message
	done := 0
	for _, f := range model {
		if f.Number == modelGraph {
			graph, n, err := quantizeGraph(f.Bytes)
			if err != nil {
				return nil, err
			}
			f.Bytes, done = graph, done+n
		}
		out.Field(f)
	}
	if done == 0 {
		return nil, errors.New("no linear map of a block found")
	}
	var opset protobuf.Message
	opset.Text(opsetDomain, contribDomain)
	opset.Int(opsetVersion, 1)
	out.Bytes(modelOpsetImport, opset)
	return out, nil
}

// contribDomain is where ONNX Runtime keeps operators that are not in the standard.
const contribDomain = "com.microsoft"

// quantizeGraph does a graph and returns how many maps it replaced.
func quantizeGraph(graph []byte) ([]byte, int, error) {
	all, err := protobuf.Fields(graph)
	if err != nil {
		return nil, 0, err
	}
	maps := map[string]int{} // by the weight's name: the place of its node
	for i, f := range all {
		if f.Number != graphNode {
			continue
		}
		n, err := parseNode(f.Bytes)
		if err != nil {
			return nil, 0, err
		}
		if n.op != "Gemm" || len(n.inputs) != 3 || !strings.HasPrefix(n.inputs[1], "blocks.") {
			continue
		}
		if n.ints["transB"] != 1 || len(n.ints) != 1 {
			return nil, 0, fmt.Errorf("node %q is no product with a transposed weight alone", n.name)
		}
		weight := n.inputs[1]
		if _, twice := maps[weight]; twice {
			return nil, 0, fmt.Errorf("weight %q is used twice", weight)
		}
		maps[weight] = i
		n.op = "DynamicQuantizeMatMul"
		n.inputs = []string{n.inputs[0], weight + ".q", weight + ".scale", weight + ".zero", n.inputs[2]}
		all[i].Bytes = n.encode(contribDomain)
	}
	var out protobuf.Message
	done := 0
	for _, f := range all {
		if f.Number == graphInitializer {
			t, err := parseTensor(f.Bytes)
			if err != nil {
				return nil, 0, err
			}
			if _, ok := maps[t.name]; ok {
				parts, err := quantizeTensor(t)
				if err != nil {
					return nil, 0, err
				}
				for _, part := range parts {
					out.Bytes(graphInitializer, part.encode())
				}
				done++
				continue
			}
		}
		out.Field(f)
	}
	if done != len(maps) {
		return nil, 0, fmt.Errorf("%d of %d weights are constants", done, len(maps))
	}
	return out, done, nil
}

// quantizeTensor returns, for a weight [N, K], q [K, N] in −127..127, scale [N] and zero point [N] with w[n][k] ≈
// scale[n]·q[k][n].
func quantizeTensor(t tensor) ([3]tensor, error) {
	w, n, k, err := t.floats()
	if err != nil {
		return [3]tensor{}, err
	}
	q, scales := make([]byte, k*n), make([]byte, 0, 4*n)
	for j := range n {
		row := w[j*k : (j+1)*k]
		largest := float32(0)
		for _, v := range row {
			largest = max(largest, float32(math.Abs(float64(v))))
		}
		scale := largest / 127
		scales = binary.LittleEndian.AppendUint32(scales, math.Float32bits(scale))
		if scale == 0 {
			continue
		}
		for i, v := range row {
			q[i*n+j] = byte(int8(min(max(math.RoundToEven(float64(v/scale)), -127), 127)))
		}
	}
	return [3]tensor{
		{name: t.name + ".q", kind: typeInt8, shape: []int{k, n}, raw: q},
		{name: t.name + ".scale", kind: typeFloat, shape: []int{n}, raw: scales},
		{name: t.name + ".zero", kind: typeInt8, shape: []int{n}, raw: make([]byte, n)},
	}, nil
}
