package vit

import (
	"fmt"
	"slices"
)

// Block holds the parameters of one block. A linear map's weight is [out, in].
type Block struct {
	Norm1Weight, Norm1Bias []float32 // [E]
	QKVWeight              []float32 // [3E, E]: E rows of queries, E of keys, E of values
	QKVBias                []float32 // [3E]
	ProjWeight             []float32 // [E, E]
	ProjBias               []float32 // [E]
	Norm2Weight, Norm2Bias []float32 // [E]
	FC1Weight              []float32 // [F, E]
	FC1Bias                []float32 // [F]
	FC2Weight              []float32 // [E, F]
	FC2Bias                []float32 // [E]
}

// Params is all that training changes. Everything lies in Data, one block of memory without gaps, so that an optimizer,
// an average or a norm is one loop; the other slices are parts of it. Gradients and moments take the same form.
type Params struct {
	Config Config
	Data   []float32 // [Config.ParamCount()]

	ClassToken  []float32 // [E]
	DistToken   []float32 // [E], nil in a model without one
	Position    []float32 // [N, E], the special tokens' rows first
	PatchWeight []float32 // [E, C·P·P]
	PatchBias   []float32 // [E]
	Blocks      []Block   // [L]
	NormWeight  []float32 // [E]
	NormBias    []float32 // [E]
	HeadWeight  []float32 // [classes, E]
	HeadBias    []float32 // [classes]

	HeadDistWeight []float32 // [classes, E], nil in a model without one
	HeadDistBias   []float32 // [classes]
}

// Tensor is a parameter under its name in timm.
type Tensor struct {
	Name   string    // for example blocks.0.attn.qkv.weight
	Shape  []int     // as timm has it: cls_token is [1, 1, E], patch_embed.proj.weight [E, C, P, P]
	Data   []float32 // part of Params.Data
	Decay  bool      // whether weight decay applies: to the weights of linear maps alone
	Offset int       // of Data in Params.Data
}

// Len is the number of elements.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// layout lists all parameters in the order of memory, without the memory.
func layout(c Config) []Tensor {
	e, f := c.Embed, c.Hidden
	list := make([]Tensor, 0, 11+12*c.Layers)
	offset := 0
	add := func(name string, decay bool, shape ...int) {
		t := Tensor{Name: name, Shape: shape, Decay: decay, Offset: offset}
		offset += t.Len()
		list = append(list, t)
	}
	linear := func(name string, out, in int) {
		add(name+".weight", true, out, in)
		add(name+".bias", false, out)
	}
	norm := func(name string) {
		add(name+".weight", false, e)
		add(name+".bias", false, e)
	}
	add("cls_token", false, 1, 1, e)
	if c.Special() > 1 {
		add("dist_token", false, 1, 1, e)
	}
	add("pos_embed", false, 1, c.Tokens(), e)
	add("patch_embed.proj.weight", true, e, c.Channels, c.Patch, c.Patch)
	add("patch_embed.proj.bias", false, e)
	for l := range c.Layers {
		block := fmt.Sprintf("blocks.%d.", l)
		norm(block + "norm1")
		linear(block+"attn.qkv", 3*e, e)
		linear(block+"attn.proj", e, e)
		norm(block + "norm2")
		linear(block+"mlp.fc1", f, e)
		linear(block+"mlp.fc2", e, f)
	}
	norm("norm")
	linear("head", c.Classes, e)
	if c.Readouts().Heads > 1 {
		linear("head_dist", c.Classes, e)
	}
	return list
}

// NewParams makes zeroed parameters. c must be valid (Config.Validate); sizes that are not make it panic as make does.
func NewParams(c Config) *Params {
	c.Labels = slices.Clone(c.Labels)
	p := &Params{Config: c, Data: make([]float32, c.ParamCount()), Blocks: make([]Block, c.Layers)}
	slots := []*[]float32{&p.ClassToken}
	if c.Special() > 1 {
		slots = append(slots, &p.DistToken)
	}
	slots = append(slots, &p.Position, &p.PatchWeight, &p.PatchBias)
	for l := range p.Blocks {
		b := &p.Blocks[l]
		slots = append(slots, &b.Norm1Weight, &b.Norm1Bias, &b.QKVWeight, &b.QKVBias, &b.ProjWeight, &b.ProjBias,
			&b.Norm2Weight, &b.Norm2Bias, &b.FC1Weight, &b.FC1Bias, &b.FC2Weight, &b.FC2Bias)
	}
	slots = append(slots, &p.NormWeight, &p.NormBias, &p.HeadWeight, &p.HeadBias)
	if c.Readouts().Heads > 1 {
		slots = append(slots, &p.HeadDistWeight, &p.HeadDistBias)
	}
	for i, t := range p.Tensors() {
		*slots[i] = t.Data
	}
	return p
}

// Tensors lists all parameters in the order of Data, which they cover without gaps.
func (p *Params) Tensors() []Tensor {
	list := layout(p.Config)
	for i := range list {
		t := &list[i]
		end := t.Offset + t.Len()
		t.Data = p.Data[t.Offset:end:end]
	}
	return list
}

// Clone copies the parameters.
func (p *Params) Clone() *Params {
	q := NewParams(p.Config)
	copy(q.Data, p.Data)
	return q
}
