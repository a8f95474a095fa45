package main

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/protobuf"
	"github.com/adavit/adavit/onnx"
	"github.com/adavit/adavit/vit"
)

// exported is a small model as our exporter writes it, and its parameters.
func exported(t *testing.T) ([]byte, *vit.Params) {
	t.Helper()
	c, err := vit.Variant("micro")
	if err != nil {
		t.Fatal(err)
	}
	p := vit.Initialize(c, 1, 0)
	clear(p.Blocks[1].FC1Weight[:c.Embed]) // an output that is always its bias
	var file bytes.Buffer
	if err := onnx.Write(&file, p, onnx.Options{}); err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), p
}

// graphOf reads the nodes and constants of a file.
func graphOf(t *testing.T, file []byte) (nodes []node, domains []string, tensors map[string]tensor) {
	t.Helper()
	model, err := protobuf.Fields(file)
	if err != nil {
		t.Fatal(err)
	}
	tensors = map[string]tensor{}
	for _, m := range model {
		if m.Number == modelOpsetImport {
			parts, err := protobuf.Fields(m.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			domain := ""
			for _, f := range parts {
				if f.Number == opsetDomain {
					domain = string(f.Bytes)
				}
			}
			domains = append(domains, domain)
		}
		if m.Number != modelGraph {
			continue
		}
		graph, err := protobuf.Fields(m.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range graph {
			switch f.Number {
			case graphNode:
				n, err := parseNode(f.Bytes)
				if err != nil {
					t.Fatal(err)
				}
				nodes = append(nodes, n)
			case graphInitializer:
				x, err := parseTensor(f.Bytes)
				if err != nil {
					t.Fatal(err)
				}
				tensors[x.name] = x
			}
		}
	}
	return nodes, domains, tensors
}

// TestQuantizeONNX: all six maps of each block are replaced (q, k and v are separate), nothing else changes, and the
// int8 weights are the nearest.
func TestQuantizeONNX(t *testing.T) {
	file, p := exported(t)
	quantized, err := quantizeONNX(file)
	if err != nil {
		t.Fatal(err)
	}
	before, _, old := graphOf(t, file)
	after, domains, tensors := graphOf(t, quantized)
	if !slices.Equal(domains, []string{"", contribDomain}) {
		t.Errorf("domains %q", domains)
	}
	if len(after) != len(before) {
		t.Fatalf("%d nodes, were %d", len(after), len(before))
	}
	replaced := 0
	for i, n := range after {
		if n.op == before[i].op {
			if !slices.Equal(n.inputs, before[i].inputs) {
				t.Errorf("%s: inputs %q, were %q", n.name, n.inputs, before[i].inputs)
			}
			continue
		}
		replaced++
		if n.op != "DynamicQuantizeMatMul" || len(n.inputs) != 5 || n.inputs[0] != before[i].inputs[0] ||
			n.inputs[4] != before[i].inputs[2] || !slices.Equal(n.outputs, before[i].outputs) {
			t.Errorf("%s: %s of %q gives %q", n.name, n.op, n.inputs, n.outputs)
			continue
		}
		w, rows, cols, err := old[before[i].inputs[1]].floats()
		if err != nil {
			t.Fatal(err)
		}
		q, scale, zero := tensors[n.inputs[1]], tensors[n.inputs[2]], tensors[n.inputs[3]]
		if !slices.Equal(q.shape, []int{cols, rows}) || !slices.Equal(scale.shape, []int{rows}) || len(zero.raw) != rows ||
			q.kind != typeInt8 {
			t.Fatalf("%s: shapes %v, %v, %v for a weight [%d, %d]", n.name, q.shape, scale.shape, zero.shape, rows, cols)
		}
		if _, kept := tensors[before[i].inputs[1]]; kept {
			t.Errorf("%s is still there", before[i].inputs[1])
		}
		for j := range rows {
			s := float64(math.Float32frombits(binary.LittleEndian.Uint32(scale.raw[4*j:])))
			largest := 0
			for k := range cols {
				v := int(int8(q.raw[k*rows+j]))
				largest = max(largest, v, -v)
				if d := math.Abs(float64(w[j*cols+k]) - s*float64(v)); d > s/2*1.0001 {
					t.Fatalf("%s [%d, %d]: %v became %d × %v", n.name, j, k, w[j*cols+k], v, s)
				}
			}
			if s != 0 && largest != 127 {
				t.Errorf("%s row %d: largest value %d, want 127", n.name, j, largest)
			}
		}
	}
	if want := 6 * p.Config.Layers; replaced != want {
		t.Errorf("%d maps replaced, want %d", replaced, want)
	}
}

func TestQuantizeRefuses(t *testing.T) {
	file, _ := exported(t)
	twice, err := quantizeONNX(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":           {nil, "no linear map"},
		"no protobuf":       {[]byte("not a model"), ""},
		"truncated":         {file[:len(file)/2], ""},
		"already quantised": {twice, "no linear map"},
	} {
		if _, err := quantizeONNX(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
}
