package tools

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
)

const maxPreprocessor = 1 << 20

// readPreprocessor reads a file like preprocessor_config.json; "" gives nil.
func readPreprocessor(path string) (*picture.Preprocessor, error) {
	if path == "" {
		return nil, nil
	}
	text, err := regular.Read(path, maxPreprocessor)
	if err != nil {
		return nil, fmt.Errorf("preprocessor: %w", err)
	}
	p, err := picture.ParsePreprocessor(path, text)
	return &p, err
}

// preprocessorBeside is the preprocessor_config.json that optimum puts into the folder of an ONNX file; nil if there is
// none.
func preprocessorBeside(src string) (*picture.Preprocessor, error) {
	p, err := readPreprocessor(filepath.Join(filepath.Dir(src), vit.PreprocessorFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return p, err
}

// prepare gives m the preprocessor that a user names, or the usual one where it has none that makes its input.
func (o ConvertOptions) prepare(m *vit.Model, named *picture.Preprocessor, done *Conversion) error {
	c := m.Params.Config
	if named != nil {
		m.Preprocessor = *named
	}
	err := m.Preprocessor.Check(c.Channels, c.Height, c.Width)
	switch {
	case err == nil:
	case named != nil:
		return fmt.Errorf("%s: %w", o.Preprocessor, err)
	case c.Channels == 1 || c.Channels == 3:
		m.Preprocessor = picture.DefaultPreprocessor(c.Height, c.Width, c.Channels)
		done.note("%s is missing or not for this model: the usual one takes its place (%s); --preprocessor names another",
			vit.PreprocessorFile, m.Preprocessor)
	}
	return nil
}
