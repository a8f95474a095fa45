package vit

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/adavit/adavit/internal/strictjson"
)

// quantization is what config.json says of weights in 8 bits, in the words of compressed-tensors, which transformers
// reads them by: linear maps have a scale for each output, and their inputs one for each token, taken while running.
type quantization struct {
	Method string                       `json:"quant_method"`
	Format string                       `json:"format"`
	Status string                       `json:"quantization_status"`
	Groups map[string]quantizationGroup `json:"config_groups"`
	Ignore []string                     `json:"ignore"` // modules that keep float32
}

type quantizationGroup struct {
	Targets     []string     `json:"targets"`
	Weights     quantizedAs  `json:"weights"`
	Activations *quantizedAs `json:"input_activations"`
}

type quantizedAs struct {
	Bits      int    `json:"num_bits"`
	Type      string `json:"type"`
	Symmetric bool   `json:"symmetric"`
	Strategy  string `json:"strategy"`
	Dynamic   bool   `json:"dynamic"`
}

// newQuantization is that of what SaveRounded writes.
func newQuantization(c Config) *quantization {
	var heads []string
	for _, name := range kindOf(c).heads {
		heads = append(heads, strings.TrimSuffix(name, "."))
	}
	slices.Sort(heads)
	return &quantization{"compressed-tensors", "int-quantized", "compressed", map[string]quantizationGroup{"group_0": {
		[]string{"Linear"}, quantizedAs{8, "int", true, "channel", false}, &quantizedAs{8, "int", true, "token", true},
	}}, heads}
}

// knownQuantization reports whether weights are quantised as SaveRounded does it, whoever did. What the inputs are to
// be rounded to is the precision's to decide.
func knownQuantization(text json.RawMessage) bool {
	var q quantization
	if strictjson.UnmarshalKnown(text, &q) != nil || q.Method != "compressed-tensors" || len(q.Groups) != 1 ||
		q.Format != "int-quantized" && q.Format != "naive-quantized" {
		return false
	}
	group := slices.Collect(maps.Values(q.Groups))[0]
	return group.Weights == quantizedAs{8, "int", true, "channel", false}
}
