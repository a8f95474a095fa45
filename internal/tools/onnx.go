package tools

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/onnx/read"
	"github.com/adavit/adavit/vit"
)

// How the names of files end, by what is in them.
const (
	onnxExt    = ".onnx"
	tensorsExt = ".safetensors"
	pngExt     = ".png"
)

// openONNX reads a model from an ONNX file.
func (o ConvertOptions) openONNX(src string, done *Conversion) (*vit.Model, error) {
	const known = "--%s is for a file of weights; a graph says for itself"
	switch {
	case o.Heads != 0:
		return nil, usage.Errorf(known, "heads")
	case o.Key != "":
		return nil, usage.Errorf(known, "key")
	case o.Prefix != "":
		return nil, usage.Errorf(known, "prefix")
	}
	r, err := read.File(src, read.Options{Height: o.Height, Width: o.Width, Classes: o.Classes})
	if errors.Is(err, vit.ErrSize) {
		return nil, fmt.Errorf("%w: say it (--image-size HEIGHTxWIDTH)", err)
	}
	if err != nil {
		return nil, err
	}
	done.Notes = append(done.Notes, r.Notes...)
	if r.Own {
		return r.Model, nil
	}
	c := r.Model.Params.Config
	done.note("read from the graph of %s: %d blocks, %d wide, %d heads, patches of %d, pictures of %d×%d, "+
		"layer norm eps %g", filepath.Base(src), c.Layers, c.Embed, c.Heads, c.Patch, c.Height, c.Width, c.Eps)
	if o.Preprocessor == "" {
		switch beside, err := preprocessorBeside(src); {
		case err != nil:
			return nil, err
		case beside != nil:
			r.Model.Preprocessor = *beside
			done.note("how pictures become its input is taken from %s beside it (%s)", vit.PreprocessorFile, beside)
		default:
			done.note("a graph does not say how pictures become its input: the usual way is taken (%s), and --preprocessor "+
				"names another", r.Model.Preprocessor)
		}
	}
	switch names := labelsBeside(src); {
	case o.Labels != "":
	case o.Classes == 0 && len(names) == c.Classes:
		r.Model.Params.Config.Labels = names
		done.note("what the classes are called is taken from %s beside it", vit.ConfigFile)
	default:
		done.note("a graph does not say what its %d classes are called: --labels does", c.Classes)
	}
	return r.Model, nil
}

// labelsBeside are the names of the classes in the config.json that optimum puts into the folder of an ONNX file; nil
// if there is none, or one of another kind.
func labelsBeside(src string) []string {
	text, err := regular.Read(filepath.Join(filepath.Dir(src), vit.ConfigFile), maxLabels)
	if err != nil {
		return nil
	}
	names, err := vit.ClassNames(text)
	if err != nil {
		return nil
	}
	return names
}

// OpenONNX reads a model from an ONNX file, to be looked at.
func OpenONNX(path string) (*vit.Model, error) {
	r, err := read.File(path, read.Options{})
	if err != nil {
		return nil, err
	}
	return r.Model, nil
}
