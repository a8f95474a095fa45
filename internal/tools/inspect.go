package tools

import (
	"fmt"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
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
	Tokens     int             `json:"tokens"` // the special ones included
	Special    int             `json:"special_tokens"`
	Classes    int             `json:"classes"`
	Labels     []string        `json:"labels,omitempty"`
	Eps        float64         `json:"layer_norm_eps"`
	Halting    *halting.Config `json:"halting,omitempty"` // absent in a dense model
	Parameters int             `json:"parameters"`
	DenseMACs  int64           `json:"dense_macs_per_image"` // had no token halted
	Tensors    []TensorInfo    `json:"tensors"`
}

// TensorInfo is one tensor: of a model under its name in timm's layout, of a file as the file has it.
type TensorInfo struct {
	Name  string `json:"name"`
	Type  string `json:"dtype,omitempty"` // of a file's tensors
	Shape []int  `json:"shape"`
}

// FileInspection describes a single file of weights, which nothing in it was run to read.
type FileInspection struct {
	File       string       `json:"file"`
	Format     string       `json:"format"`
	Key        string       `json:"key,omitempty"`     // entry of a PyTorch file that the tensors are in
	Keys       []string     `json:"keys,omitempty"`    // all entries that hold tensors
	Globals    []string     `json:"globals,omitempty"` // what a pickle names: Python would import and call it
	Parameters int          `json:"parameters"`        // elements of all tensors
	Tensors    []TensorInfo `json:"tensors"`
}

// InspectFile describes a checkpoint of a single file; key picks an entry of a PyTorch file, "" the usual one.
func InspectFile(path, key string) (FileInspection, error) {
	c, err := weights.ReadCheckpoint(path, key)
	if err != nil {
		return FileInspection{}, err
	}
	in := FileInspection{File: path, Format: c.Format, Key: c.Key, Keys: c.Keys, Globals: c.Globals}
	for _, t := range c.Tensors {
		n, err := t.Len()
		if err != nil {
			return in, fmt.Errorf("%s: %w", path, err)
		}
		in.Parameters += n
		in.Tensors = append(in.Tensors, TensorInfo{t.Name, string(t.DType), t.Shape})
	}
	return in, nil
}

// Inspect describes m; name is what it is called by.
func Inspect(name string, m *vit.Model) Inspection {
	c := m.Params.Config
	in := Inspection{Model: name, Embed: c.Embed, Heads: c.Heads, Layers: c.Layers, Hidden: c.Hidden, Height: c.Height,
		Width:    c.Width,
		Channels: c.Channels, Patch: c.Patch, Tokens: c.Tokens(), Special: c.Special(), Classes: c.Classes, Labels: c.Labels,
		Eps:        c.Eps,
		Parameters: c.ParamCount(), DenseMACs: c.MACs(nil)}
	if c.Halting.Adaptive() {
		in.Halting = &c.Halting
	}
	for _, t := range m.Params.Tensors() {
		in.Tensors = append(in.Tensors, TensorInfo{Name: t.Name, Shape: t.Shape})
	}
	return in
}
