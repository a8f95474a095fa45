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
// Without Data there are none of these slices: Read and Whole give what they would hold.
type Params struct {
	Config Config
	Data   []float32 // [Config.ParamCount()]; nil while the parameters stay in their files (LoadOptions.Stored)

	ClassToken  []float32 // [E], nil in a model without one
	DistToken   []float32 // [E], nil in a model without one
	Registers   []float32 // [R, E], nil in a model without them
	Position    []float32 // [N−R, E], the special tokens' rows first; registers have none
	PatchWeight []float32 // [E, C·P·P]
	PatchBias   []float32 // [E]
	Blocks      []Block   // [L]
	NormWeight  []float32 // [E]
	NormBias    []float32 // [E]
	HeadWeight  []float32 // [classes, Config.HeadInputs()]
	HeadBias    []float32 // [classes]

	HeadDistWeight []float32 // [classes, E], nil in a model without one
	HeadDistBias   []float32 // [classes]

	stored *stored // where they are, if they were left there
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

// layout lists all parameters in the order of memory, without the memory, and the slices of p that they belong in.
func (p *Params) layout() (list []Tensor, slots []*[]float32) {
	c := p.Config
	e, f := c.Embed, c.Hidden
	offset := 0
	add := func(slot *[]float32, name string, decay bool, shape ...int) {
		t := Tensor{Name: name, Shape: shape, Decay: decay, Offset: offset}
		offset += t.Len()
		list, slots = append(list, t), append(slots, slot)
	}
	// A linear map [out, in …] or a norm [out], with its bias.
	pair := func(weight, bias *[]float32, name string, out int, in ...int) {
		add(weight, name+".weight", len(in) > 0, slices.Insert(in, 0, out)...)
		add(bias, name+".bias", false, out)
	}
	if !c.NoClassToken {
		add(&p.ClassToken, "cls_token", false, 1, 1, e)
	}
	if c.positioned() > 1 {
		add(&p.DistToken, "dist_token", false, 1, 1, e)
	}
	if c.Registers > 0 {
		add(&p.Registers, "reg_token", false, 1, c.Registers, e)
	}
	add(&p.Position, "pos_embed", false, 1, c.Tokens()-c.Registers, e)
	pair(&p.PatchWeight, &p.PatchBias, "patch_embed.proj", e, c.Channels, c.Patch, c.Patch)
	for l := range p.Blocks {
		b, block := &p.Blocks[l], fmt.Sprintf("blocks.%d.", l)
		pair(&b.Norm1Weight, &b.Norm1Bias, block+"norm1", e)
		pair(&b.QKVWeight, &b.QKVBias, block+"attn.qkv", 3*e, e)
		pair(&b.ProjWeight, &b.ProjBias, block+"attn.proj", e, e)
		pair(&b.Norm2Weight, &b.Norm2Bias, block+"norm2", e)
		pair(&b.FC1Weight, &b.FC1Bias, block+"mlp.fc1", f, e)
		pair(&b.FC2Weight, &b.FC2Bias, block+"mlp.fc2", e, f)
	}
	norm := "norm"
	if c.Pooling == Mean {
		norm = "fc_norm"
	}
	pair(&p.NormWeight, &p.NormBias, norm, e)
	pair(&p.HeadWeight, &p.HeadBias, "head", c.Classes, c.HeadInputs())
	if c.Classifiers() > 1 {
		pair(&p.HeadDistWeight, &p.HeadDistBias, "head_dist", c.Classes, e)
	}
	return list, slots
}

// layout lists the parameters of a model that need not exist.
func layout(c Config) []Tensor {
	list, _ := (&Params{Config: c, Blocks: make([]Block, c.Layers)}).layout()
	return list
}

// NewParams makes zeroed parameters. c must be valid (Config.Validate); sizes that are not make it panic as make does.
func NewParams(c Config) *Params {
	c.Labels = slices.Clone(c.Labels)
	p := &Params{Config: c, Data: make([]float32, c.ParamCount()), Blocks: make([]Block, c.Layers)}
	_, slots := p.layout()
	for i, t := range p.Tensors() {
		*slots[i] = t.Data
	}
	return p
}

// Tensors lists all parameters in the order of Data, which they cover without gaps. Where that is nil so is theirs.
func (p *Params) Tensors() []Tensor {
	list, _ := p.layout()
	for i := range list {
		t := &list[i]
		if end := t.Offset + t.Len(); p.Data != nil {
			t.Data = p.Data[t.Offset:end:end]
		}
	}
	return list
}

// Clone copies the parameters; of those that stay in their files, which nothing changes, the copy reads, too.
func (p *Params) Clone() *Params {
	if p.stored != nil {
		q := *p
		q.Config.Labels = slices.Clone(p.Config.Labels)
		return &q
	}
	q := NewParams(p.Config)
	copy(q.Data, p.Data)
	return q
}
