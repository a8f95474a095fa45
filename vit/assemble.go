package vit

import (
	"fmt"

	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/weights"
)

// MarshalConfig returns what config.json of a model of that configuration holds.
func MarshalConfig(c Config) ([]byte, error) {
	text, err := marshalConfig(c, weights.F32)
	if err != nil {
		return nil, fmt.Errorf("vit: %s: %w", ConfigFile, err)
	}
	return text, nil
}

// Assemble makes a model of the texts of config.json and preprocessor_config.json and of tensors under timm's names,
// for formats that keep these three together. Without the second text the preprocessor stays zero.
func Assemble(config, preprocessor []byte, f *weights.File) (*Model, error) {
	c, _, err := parseConfig(config)
	if err != nil {
		return nil, fmt.Errorf("vit: %s: %w", ConfigFile, err)
	}
	m := &Model{}
	if len(preprocessor) > 0 {
		if m.Preprocessor, err = picture.ParsePreprocessor(PreprocessorFile, preprocessor); err != nil {
			return nil, fmt.Errorf("vit: %w", err)
		}
	}
	s, err := readState(f, "", false)
	if err == nil {
		m.Params, err = s.params(c, true)
	}
	if err == nil {
		m.Params, err = m.Params.whole()
	}
	if err != nil {
		return nil, fmt.Errorf("vit: %w", err)
	}
	return m, nil
}
