package adavit

import (
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
)

// Inspection describes a model.
type Inspection struct {
	Model      string          `json:"model"`
	Embed      int             `json:"embed"`
	Heads      int             `json:"heads"`
	Layers     int             `json:"layers"`
	Hidden     int             `json:"hidden"`
	Height     int             `json:"height"`
	Width      int             `json:"width"`
	Channels   int             `json:"channels"`
	Patch      int             `json:"patch"`
	Tokens     int             `json:"tokens"` // the class token included
	Classes    int             `json:"classes"`
	Labels     []string        `json:"labels,omitempty"`
	Eps        float64         `json:"layer_norm_eps"`
	Halting    *halting.Config `json:"halting,omitempty"` // absent in a dense model
	Parameters int             `json:"parameters"`
	DenseMACs  int64           `json:"dense_macs_per_image"` // had no token halted
	Tensors    []TensorInfo    `json:"tensors"`
}

// TensorInfo is one tensor under its name in timm's layout.
type TensorInfo struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

// Inspect describes m; name is what it is called by.
func Inspect(name string, m *vit.Model) Inspection {
	c := m.Params.Config
	in := Inspection{Model: name, Embed: c.Embed, Heads: c.Heads, Layers: c.Layers, Hidden: c.Hidden, Height: c.Height, Width: c.Width,
		Channels: c.Channels, Patch: c.Patch, Tokens: c.Tokens(), Classes: c.Classes, Labels: c.Labels, Eps: c.Eps,
		Parameters: c.ParamCount(), DenseMACs: c.MACs(nil)}
	if c.Halting.Adaptive() {
		in.Halting = &c.Halting
	}
	for _, t := range m.Params.Tensors() {
		in.Tensors = append(in.Tensors, TensorInfo{t.Name, t.Shape})
	}
	return in
}
