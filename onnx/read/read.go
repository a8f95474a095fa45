// Package read makes a model of an ONNX file: of what package onnx wrote, and of plain vision transformers as PyTorch's
// two exporters, timm, transformers, torchvision and optimum write them.
//
// What package onnx writes says all of itself. Of other files nothing but the graph counts, no name of a node or
// tensor does. It is followed for one image, with all sizes known, so that whatever it computes of sizes is a number
// and folds away; reshapes, transposes and slices become places in rows (value); and what is left is a few kinds of
// expressions, such as a linear map with its bias and scale, however it was spelt (expression). These are then taken
// apart from the output down (network): a head, what it reads (a token, a mean of patches, both), a norm, blocks of
// attention and MLP, learnt tokens, positions, patches.
// Every node on the way must have found its part in it. A graph that computes anything else is refused, with the node
// at which it stopped being a plain vision transformer, so that what is read is the same function.
//
// A graph does not say how pictures become its input, nor what the classes are called.
//
// Files are not trusted: sizes are bounded, memory stays in proportion to the file's own length, and tensors kept in
// other files are read from the model's folder alone.
package read

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// Options say what a graph may leave open.
type Options struct {
	Height, Width int // of an image in pixels, where the graph takes any; 0 to find it out
	Classes       int // of a fresh head in the place of whatever the graph has; 0 = a head is wanted
}

// Result is a model with what there is to say about how it was read.
type Result struct {
	Model *vit.Model // with the usual preprocessor, if not Own: a graph does not say
	Own   bool       // the file says all of itself, as package onnx writes it, its preprocessor included
	Notes []string   // what was left out
}

// maxFile is where protobuf ends.
const maxFile = math.MaxInt32

// File reads the model at path. Tensors of it that lie in other files are looked for in its folder.
func File(path string, o Options) (*Result, error) {
	b, err := regular.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	r, err := decode(b, filepath.Dir(path), o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// decode reads a model. dir is where files beside it lie, "" if there can be none.
func decode(b []byte, dir string, o Options) (*Result, error) {
	f, err := parse(b)
	if err != nil {
		return nil, err
	}
	s := &store{dir: dir, sizes: map[string]int64{}, left: 1<<24 + len(b)}
	if f.metadata[vit.ConfigFile] != "" {
		return s.own(f)
	}
	return s.foreign(f, o)
}

// own reads what package onnx wrote: its constants are the model's parameters under timm's names, qkv in three parts,
// but for those that begin with "const.", and its metadata hold the rest.
func (s *store) own(f *file) (*Result, error) {
	tensors := &weights.File{}
	parts := map[string][3]*array{}
	for _, name := range f.graph.names() {
		if strings.HasPrefix(name, "const.") {
			continue
		}
		a, err := s.array(f.graph.constants[name])
		if err != nil {
			return nil, err
		}
		if block, rest, ok := strings.Cut(name, ".attn."); ok && len(rest) > 2 && strings.Contains("qkv", rest[:1]) &&
			rest[1] == '.' {
			whole := block + ".attn.qkv" + rest[1:]
			three := parts[whole]
			three[strings.Index("qkv", rest[:1])] = a
			parts[whole] = three
			continue
		}
		tensors.Tensors = append(tensors.Tensors, weights.Float32Tensor(name, a.shape, a.f))
	}
	for name, three := range parts {
		var shape []int
		var data []float32
		for i, a := range three {
			if a == nil || len(a.shape) == 0 || i > 0 && !slices.Equal(a.shape, three[0].shape) {
				return nil, fmt.Errorf("tensor %.120q lacks one of its three parts, or they differ in shape", name)
			}
			shape, data = slices.Clone(a.shape), append(data, a.f...)
		}
		shape[0] *= 3
		tensors.Tensors = append(tensors.Tensors, weights.Float32Tensor(name, shape, data))
	}
	preprocessor := f.metadata[vit.PreprocessorFile]
	m, err := vit.Assemble([]byte(f.metadata[vit.ConfigFile]), []byte(preprocessor), tensors)
	if err != nil {
		return nil, fmt.Errorf("the file says that this program wrote it, but it is not as it was written: %w", err)
	}
	return &Result{Model: m, Own: true}, nil
}

// foreign reads a graph that anybody may have written.
func (s *store) foreign(f *file, o Options) (*Result, error) {
	if f.functions > 0 {
		return nil, errors.New("the graph uses functions of its own; export it with these inlined (onnx.inliner)")
	}
	f.graph.nodes = ordered(f.graph.nodes)
	input, output, r := "", "", &Result{}
	for _, p := range f.graph.inputs {
		switch {
		case f.graph.initializer(p.name):
		case input != "":
			return nil, fmt.Errorf("the graph has several inputs, %.80q and %.80q, a vision transformer one", input, p.name)
		default:
			input = p.name
		}
	}
	if input == "" || len(f.graph.outputs) == 0 {
		return nil, errors.New("the graph has no input or no output")
	}
	if output = f.graph.outputs[0]; slices.Contains(f.graph.outputs, "logits") {
		output = "logits"
	}
	if len(f.graph.outputs) > 1 {
		r.Notes = append(r.Notes, fmt.Sprintf("output %q is read; the others of the graph are left out", output))
	}
	shapes, err := s.shapes(f, input, o)
	if err != nil {
		return nil, err
	}
	var first error
	for _, shape := range shapes {
		m, err := s.follow(f, input, shape, output, o, r)
		if err == nil {
			r.Model = m
			return r, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// follow reads a graph for an input of a shape.
func (s *store) follow(f *file, input string, shape []int, output string, o Options, r *Result) (*vit.Model, error) {
	s = &store{dir: s.dir, sizes: map[string]int64{}, left: s.left} // another try has the whole budget again
	out, err := s.evaluate(f, input, shape, output)
	if err != nil {
		return nil, err
	}
	n := &network{call: &call{evaluator: &evaluator{store: s}}, batch: shape[0]}
	if err := n.recognise(out); err != nil {
		return nil, fmt.Errorf("the graph is not understood as a plain vision transformer: %w", err)
	}
	tensors, eps, err := n.timm()
	if err != nil {
		return nil, err
	}
	m, err := vit.Import(tensors, vit.ImportOptions{Heads: n.blocks[0].heads, Height: shape[2], Width: shape[3],
		Classes: o.Classes, Eps: eps, Mean: n.reads == normedMean, Prepared: true})
	if err != nil {
		return nil, err
	}
	for l, b := range n.blocks {
		if b.heads != n.blocks[0].heads {
			return nil, fmt.Errorf("block %d has %d heads, others %d", l, b.heads, n.blocks[0].heads)
		}
	}
	if n.probable {
		r.Notes = append(r.Notes, "the graph ends in a softmax, which is left out: the model gives logits")
	}
	return m, nil
}

// shapes lists what the input [B, C, H, W] may be: the size that the graph or the options say, else those that its
// position embedding may be for.
func (s *store) shapes(f *file, input string, o Options) ([][]int, error) {
	i := slices.IndexFunc(f.graph.inputs, func(p port) bool { return p.name == input })
	shape := slices.Clone(f.graph.inputs[i].shape)
	if len(shape) != 4 {
		return nil, fmt.Errorf("input %.80q has %d dimensions, pictures have [batch, channels, height, width]", input,
			len(shape))
	}
	shape[0] = max(shape[0], 1)
	var kernel []int // [E, C, P, P]
	for _, n := range f.graph.nodes {
		if n.op == "Conv" && len(n.in) > 1 && n.in[0] == input && f.graph.initializer(n.in[1]) {
			kernel = f.graph.constants[n.in[1]].shape
		}
	}
	if len(kernel) == 4 && shape[1] <= 0 {
		shape[1] = kernel[1]
	}
	if shape[2] > 0 && shape[3] > 0 {
		return [][]int{shape}, nil
	}
	var list [][]int
	add := func(height, width int) {
		size := []int{shape[0], shape[1], height, width}
		if !slices.ContainsFunc(list, func(l []int) bool { return slices.Equal(l, size) }) {
			list = append(list, size)
		}
	}
	if o.Height > 0 && o.Width > 0 {
		add(o.Height, o.Width)
	}
	if len(kernel) == 4 {
		for _, name := range f.graph.names() {
			t := f.graph.constants[name].shape
			if len(t) != 3 || t[0] != 1 || t[2] != kernel[0] {
				continue
			}
			for special := range 3 {
				if side := int(math.Sqrt(float64(max(t[1]-special, 0)))); side > 0 && side*side == t[1]-special {
					add(side*kernel[2], side*kernel[3])
				}
			}
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: the graph takes pictures of any size", vit.ErrSize)
	}
	return list[:min(len(list), maxSizes)], nil
}

// maxSizes bounds how many sizes are tried.
const maxSizes = 8

// names lists the constants in a fixed order.
func (g *graph) names() []string {
	var list []string
	for name := range g.constants {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
