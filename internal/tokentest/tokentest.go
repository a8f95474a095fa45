// Package tokentest lists what special tokens a model can have and what its heads can look at, for tests of all of it.
package tokentest

import (
	"pgregory.net/rapid"

	"github.com/adavit/adavit/vit"
)

// Kind is one of the ways.
type Kind struct {
	Name         string
	Distillation vit.Distillation
	Pooling      vit.Pooling
	NoClassToken bool
	Registers    int
}

// Kinds lists those that take different ways through the code: the plain one first, then those of DeiT, then those
// with registers and those that pool.
var Kinds = []Kind{
	{Name: "class token"},
	{Name: "distillation token", Distillation: vit.DistillToken},
	{Name: "distillation head", Distillation: vit.DistillHead},
	{Name: "registers", Registers: 3},
	{Name: "mean", Pooling: vit.Mean},
	{Name: "mean, registers", Pooling: vit.Mean, Registers: 1},
	{Name: "mean alone", Pooling: vit.Mean, NoClassToken: true},
	{Name: "mean alone, registers", Pooling: vit.Mean, NoClassToken: true, Registers: 2},
	{Name: "normed mean", Pooling: vit.NormedMean},
	{Name: "normed mean alone", Pooling: vit.NormedMean, NoClassToken: true},
	{Name: "normed mean alone, registers", Pooling: vit.NormedMean, NoClassToken: true, Registers: 4},
	{Name: "class and mean", Pooling: vit.ClassAndMean},
	{Name: "class and mean, registers", Pooling: vit.ClassAndMean, Registers: 2},
}

// Set gives a configuration this kind.
func (k Kind) Set(c *vit.Config) {
	c.Distillation, c.Pooling, c.NoClassToken, c.Registers = k.Distillation, k.Pooling, k.NoClassToken, k.Registers
}

// Draw gives a configuration any kind.
func Draw(t *rapid.T, c *vit.Config) { rapid.SampledFrom(Kinds).Draw(t, "tokens").Set(c) }

// Lean adds to the first number, the gate, of what each place's token is made of before block 1.
func Lean(p *vit.Params, by func(place int) float32) {
	c, e := p.Config, p.Config.Embed
	own := c.Special() - c.Registers
	for k := range c.Tokens() {
		switch {
		case k < own:
			p.Position[k*e] += by(k)
		case k < c.Special():
			p.Registers[(k-own)*e] += by(k)
		default:
			p.Position[(k-c.Registers)*e] += by(k)
		}
	}
}

// Special returns the special tokens [S][E] of a model with their positions, and the patches' positions [K][E].
func Special(p *vit.Params) (special, positions [][]float64) {
	e := p.Config.Embed
	add := func(list *[][]float64, x []float32) {
		for ; len(x) > 0; x = x[e:] {
			row := make([]float64, e)
			for j := range row {
				row[j] = float64(x[j])
			}
			*list = append(*list, row)
		}
	}
	add(&positions, p.Position)
	add(&special, p.ClassToken)
	add(&special, p.DistToken)
	for k, row := range special {
		for j := range row {
			row[j] += positions[k][j]
		}
	}
	positions = positions[len(special):]
	add(&special, p.Registers)
	return special, positions
}

// Read returns what the heads look at of the tokens x [N][E], given the final norm: [E], or [2E] of the class token and
// the patches' mean.
func Read(c *vit.Config, x [][]float64, norm func([]float64) []float64) []float64 {
	mean := func(of func([]float64) []float64) []float64 {
		sum := make([]float64, c.Embed)
		for _, token := range x[c.Special():] {
			for j, v := range of(token) {
				sum[j] += v / float64(c.Patches())
			}
		}
		return sum
	}
	switch c.Pooling {
	case vit.Mean:
		return norm(mean(func(x []float64) []float64 { return x }))
	case vit.NormedMean:
		return mean(norm)
	case vit.ClassAndMean:
		return append(norm(x[0]), mean(norm)...)
	}
	return norm(x[0])
}
