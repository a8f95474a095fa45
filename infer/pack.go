package infer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// PackOptions say how a model's parameters become Weights.
type PackOptions struct {
	Precision Precision // Auto means F32, for parameters come without a card (see Resolve)
	Threads   int       // that read and pack at once; 0 means 1
}

// Pack is PackOptions.Pack on one thread.
func Pack(p *vit.Params, precision Precision) (*Weights, error) {
	return PackOptions{Precision: precision}.Pack(p)
}

// Pack copies and packs a model's parameters. Large weights are read some rows at a time, from memory or from the files
// that they are in (vit.Params.Read), so that it takes the memory of the packed ones and of those rows.
func (o PackOptions) Pack(p *vit.Params) (*Weights, error) {
	if p == nil {
		return nil, errors.New("infer: no model given")
	}
	if err := p.Config.Validate(); err != nil {
		return nil, fmt.Errorf("infer: %w", err)
	}
	if n := len(p.Data); p.Data != nil && n != p.Config.ParamCount() || len(p.Blocks) != p.Config.Layers {
		return nil, fmt.Errorf("infer: %d parameters in %d blocks do not belong to a configuration with %d in %d",
			n, len(p.Blocks), p.Config.ParamCount(), p.Config.Layers)
	}
	precision, err := ParsePrecision(string(o.Precision))
	if err != nil {
		return nil, fmt.Errorf("infer: %w", err)
	}
	from := packer{params: p, tensors: make(map[string]vit.Tensor), bytes: p.Rounded() == weights.I8}
	for _, t := range p.Tensors() {
		from.tensors[t.Name] = t
	}
	w := from.weights(cmp.Or(precision, F32))
	if err := from.run(max(o.Threads, 1)); err != nil {
		return nil, err
	}
	return w, nil
}

// packer makes Weights of parameters that it reads.
type packer struct {
	params  *vit.Params
	tensors map[string]vit.Tensor // by timm's names; only their places count
	err     error                 // the first of read
	tasks   []task                // what is still to be packed
	largest int                   // elements that a task reads
	bytes   bool                  // some weights are stored in 8 bits
}

// task packs some outputs of a linear map.
type task struct {
	part   linear // of these outputs alone
	at     int    // of their weights among the parameters
	inputs int
	gate   bool // the first output's weights are left out
}

// weights reads the small tensors and lists the tasks that the large ones take.
func (p *packer) weights(precision Precision) *Weights {
	c := &p.params.Config
	e, ofPatches := c.Embed, precision
	if c.PatchLen() < e { // it has hardly a part in the work, and all that follows comes from it
		ofPatches = F32
	}
	w := &Weights{
		config:    *c,
		precision: precision,
		special:   slices.Concat(p.read("cls_token"), p.read("dist_token"), p.read("reg_token")),
		patch:     p.residual(ofPatches, "patch_embed.proj"),
		blocks:    make([]block, c.Layers),
		norm:      p.norm("norm"),
		heads:     []linear{p.linear(F32, "head", 0, c.Classes)},
	}
	if c.Pooling == vit.Mean {
		w.norm = p.norm("fc_norm")
	}
	if c.Classifiers() > 1 {
		w.heads = append(w.heads, p.linear(F32, "head_dist", 0, c.Classes))
	}
	position, registers := p.read("pos_embed"), len(p.read("reg_token"))
	patches := len(position) - c.Patches()*e
	w.position = slices.Concat(position[:patches], make([]float32, registers), position[patches:])
	kernels.Add(w.special, w.position[:len(w.special)])
	for l := range w.blocks {
		in := fmt.Sprintf("blocks.%d.", l)
		w.blocks[l] = block{
			norm1:    p.norm(in + "norm1"),
			query:    p.linear(precision, in+"attn.qkv", 0, e),
			keyValue: p.linear(precision, in+"attn.qkv", e, 3*e),
			proj:     p.residual(precision, in+"attn.proj"),
			norm2:    p.norm(in + "norm2"),
			fc1:      p.linear(precision, in+"mlp.fc1", 0, c.Hidden),
			fc2:      p.residual(precision, in+"mlp.fc2"),
		}
	}
	return w
}

// read returns a copy of a tensor, nil of one that the model does not have.
func (p *packer) read(name string) []float32 { return p.part(name, 0, p.tensors[name].Len()) }

// part returns a copy of a tensor's elements lo … hi−1.
func (p *packer) part(name string, lo, hi int) []float32 {
	t, ok := p.tensors[name]
	if !ok {
		return nil
	}
	x := make([]float32, hi-lo)
	if err := p.params.Read(x, t.Offset+lo); p.err == nil {
		p.err = err
	}
	return x
}

func (p *packer) norm(name string) norm {
	return norm{p.read(name + ".weight"), p.read(name + ".bias"), float32(p.params.Config.Eps)}
}

// linear returns the map of a weight [outputs, inputs] to the outputs lo … hi−1 and lists what is to be packed for it.
func (p *packer) linear(precision Precision, name string, lo, hi int) linear {
	return p.list(precision, name, lo, hi, false)
}

func (p *packer) list(precision Precision, name string, lo, hi int, gate bool) linear {
	weight := p.tensors[name+".weight"]
	inputs := weight.Len() / weight.Shape[0]
	l := newLinear(precision, inputs, p.part(name+".bias", lo, hi))
	step := kernels.FirstPanel(hi - lo)
	p.largest = max(p.largest, step*inputs)
	for j := 0; j < hi-lo; j += step {
		p.tasks = append(p.tasks, task{l.columns(j, min(j+step, hi-lo)), weight.Offset + (lo+j)*inputs, inputs,
			gate && j == 0})
	}
	return l
}

// residual is linear for all outputs of a map that is added to the tokens.
func (p *packer) residual(precision Precision, name string) residual {
	e := p.params.Config.Embed
	if precision == F32 {
		return residual{linear: p.linear(precision, name, 0, e)}
	}
	weight := p.tensors[name+".weight"]
	r := residual{linear: p.list(precision, name, 0, e, true), gate: p.part(name+".weight", 0, weight.Len()/e)}
	r.shift, r.bias[0] = r.bias[0], 0
	return r
}

// run does what is listed.
func (p *packer) run(threads int) error {
	if p.err != nil {
		return p.err
	}
	rooms, errs := make([]packRoom, threads), make([]error, len(p.tasks))
	var failed atomic.Bool
	parallel.For(threads, len(p.tasks), func(worker, i int) {
		if failed.Load() { // what comes before the task that did is done or under way
			return
		}
		if errs[i] = p.pack(&p.tasks[i], &rooms[worker]); errs[i] != nil {
			failed.Store(true)
		}
	})
	return cmp.Or(errs...)
}

// packRoom is where a thread reads to.
type packRoom struct {
	floats []float32
	bytes  []int8
}

// pack reads a task's weights and packs them; those that are stored in 8 bits are int8's as they are.
func (p *packer) pack(t *task, room *packRoom) error {
	k, n := t.inputs, len(t.part.bias)
	if t.part.precision == Int8 && p.bytes {
		if room.bytes == nil {
			room.bytes = make([]int8, p.largest)
		}
		q, scale := room.bytes[:n*k], make([]float32, n)
		if ok, err := p.params.ReadInt8(q, scale, t.at); err != nil {
			return err
		} else if ok {
			if t.gate {
				clear(q[:k])
				scale[0] = 0
			}
			kernels.PackInt8Rows(&t.part.int8, q, scale, k, n)
			return nil
		}
	}
	if room.floats == nil {
		room.floats = make([]float32, p.largest)
	}
	w := room.floats[:n*k]
	if err := p.params.Read(w, t.at); err != nil {
		return err
	}
	if t.gate {
		clear(w[:k])
	}
	switch t.part.precision {
	case BF16:
		kernels.PackBF16(&t.part.bf16, w, k, k, n)
	case Int8:
		kernels.PackInt8(&t.part.int8, w, k, k, n)
	default:
		kernels.PackTransposed(&t.part.f32, w, k, k, n)
	}
	return nil
}
