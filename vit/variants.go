package vit

import (
	"fmt"
	"strings"

	"github.com/adavit/adavit/halting"
)

// variant is one line of the table; the hidden width is 4E and eps 1e-6 throughout, as in DeiT.
type variant struct {
	name                 string
	embed, heads, layers int
	side, patch, chans   int
	classes              int
}

var variants = [...]variant{
	// Touvron et al. 2021, table 1, at 224 pixels on ImageNet-1K.
	{"deit-tiny", 192, 3, 12, 224, 16, 3, 1000},
	{"deit-small", 384, 6, 12, 224, 16, 3, 1000},
	{"deit-base", 768, 12, 12, 224, 16, 3, 1000},
	// Ours. 28×28 grey images in 4×4 patches give 49 patch tokens.
	{"fashion", 96, 3, 12, 28, 4, 1, 10},
	{"fashion-small", 48, 3, 6, 28, 4, 1, 10},
	// For tests and first steps: runs in microseconds.
	{"micro", 32, 2, 4, 32, 8, 3, 10},
}

// Variant returns the configuration of a named architecture, dense and without labels.
func Variant(name string) (Config, error) {
	var names []string
	for _, v := range variants {
		if v.name == name {
			return Config{
				Embed: v.embed, Heads: v.heads, Layers: v.layers, Hidden: 4 * v.embed, Height: v.side, Width: v.side,
				Patch: v.patch, Channels: v.chans, Classes: v.classes, Eps: 1e-6, Halting: halting.Dense(),
			}, nil
		}
		names = append(names, v.name)
	}
	return Config{}, fmt.Errorf("vit: no variant is called %q (there are: %s)", name, strings.Join(names, ", "))
}
