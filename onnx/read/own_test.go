package read

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/protobuf"
	"github.com/adavit/adavit/onnx"
	"github.com/adavit/adavit/vit"
)

func smallConfig(adaptive bool) vit.Config {
	c := vit.Config{Embed: 6, Heads: 3, Layers: 2, Hidden: 8, Height: 8, Width: 12, Patch: 4, Channels: 1, Classes: 3,
		Eps: 1e-6, Labels: []string{"a", "b", "c"}, Halting: halting.Dense()}
	if adaptive {
		c.Halting = halting.Config{Scheme: "token"}.With("gate_scale", 3).With("exit", 0.9)
	}
	return c
}

func written(t testing.TB, p *vit.Params) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := onnx.Write(&b, p, onnx.Options{}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// edit changes the fields of a message: f returns what takes a field's place.
func edit(t testing.TB, b []byte, f func(protobuf.Field) []protobuf.Field) []byte {
	t.Helper()
	fields, err := protobuf.Fields(b)
	if err != nil {
		t.Fatal(err)
	}
	var m protobuf.Message
	for _, x := range fields {
		for _, y := range f(x) {
			m.Field(y)
		}
	}
	return m
}

// graphOf edits the graph of a model.
func graphOf(t testing.TB, model []byte, f func(protobuf.Field) []protobuf.Field) []byte {
	t.Helper()
	return edit(t, model, func(x protobuf.Field) []protobuf.Field {
		if x.Number == 7 {
			x.Bytes = edit(t, x.Bytes, f)
		}
		return []protobuf.Field{x}
	})
}

// TestOwn reads what package onnx wrote, and says what is amiss where the file was changed afterwards.
func TestOwn(t *testing.T) {
	for _, adaptive := range []bool{false, true} {
		p := vit.Initialize(smallConfig(adaptive), 1, 0.2)
		b := written(t, p)
		r, err := decode(b, "", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Own || !slices.Equal(r.Model.Params.Data, p.Data) ||
			r.Model.Params.Config.Halting.String() != p.Config.Halting.String() {
			t.Errorf("own %t; halting %v", r.Own, r.Model.Params.Config.Halting)
		}
		for name, want := range map[string]string{
			"norm.bias":              `it is not as it was written: vit: 1 tensor is missing: "norm.bias"`,
			"blocks.1.attn.k.weight": `"blocks.1.attn.qkv.weight" lacks one of its three parts`,
		} {
			lost := graphOf(t, b, func(x protobuf.Field) []protobuf.Field {
				if x.Number == 5 && bytes.Contains(x.Bytes, []byte(name)) {
					return nil
				}
				return []protobuf.Field{x}
			})
			if _, err := decode(lost, "", Options{}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("without %s: %v", name, err)
			}
		}
	}
}

// TestOwnWithoutMetadata: the graph alone runs only the readouts in the last block, as no exporter has it, and is
// refused.
func TestOwnWithoutMetadata(t *testing.T) {
	b := edit(t, ownFile(t, false), func(x protobuf.Field) []protobuf.Field {
		if x.Number == 14 {
			return nil
		}
		return []protobuf.Field{x}
	})
	_, err := decode(b, "", Options{})
	if err == nil || !strings.Contains(err.Error(), "not understood as a plain vision transformer") {
		t.Errorf("error %v", err)
	}
}

// TestChanged changes one number of an export at a time that decides what is computed.
func TestChanged(t *testing.T) {
	b := unpacked(t, "timm-legacy-steps.onnx")
	if _, err := decode(b, "", Options{}); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for want, change := range map[string]func(n *node, x *protobuf.Field) bool{
		"a power that a layer norm has no use for": constantOf(t, "Sub", 2, 3),
		"that of GELU in its exact form":           constantOf(t, "Erf", 1, 1.5),
	} {
		done := false
		changed := graphOf(t, b, func(x protobuf.Field) []protobuf.Field {
			if x.Number == 1 && !done {
				n, err := parseNode(x.Bytes)
				if err != nil {
					t.Fatal(err)
				}
				done = change(n, &x)
			}
			return []protobuf.Field{x}
		})
		if !done {
			t.Fatalf("%s: nothing was changed", want)
		}
		seen++
		if _, err := decode(changed, "", Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if seen != 2 {
		t.Errorf("%d changes", seen)
	}
}

// constantOf returns a change of the first scalar constant of one value behind an operator to another.
func constantOf(t *testing.T, behind string, from, to float32) func(n *node, x *protobuf.Field) bool {
	seen := false
	return func(n *node, x *protobuf.Field) bool {
		if seen = seen || n.op == behind; !seen {
			return false
		}
		v := n.attributes["value"].t
		if n.op != "Constant" || v == nil || v.kind != 1 || len(v.raw) != 4 {
			return false
		}
		var bits protobuf.Message
		bits.Float(1, from)
		if !bytes.Equal(v.raw, bits[1:]) {
			return false
		}
		at := bytes.Index(x.Bytes, v.raw)
		if at < 0 {
			t.Fatal("the constant is not in its node")
		}
		x.Bytes = slices.Clone(x.Bytes)
		copy(x.Bytes[at:], protowire.AppendFixed32(nil, math.Float32bits(to)))
		return true
	}
}
