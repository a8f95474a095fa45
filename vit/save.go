package vit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/weights"
)

// Save writes a model directory with weights of type F32, F16 or BF16 (rounded to nearest even; a weight beyond the
// type's range is an error, as NaN and infinity are).
//
// A directory that does not exist appears whole or not at all, with its parents. One that holds a model and nothing
// else is swapped for the new one in a single step where the system can (Linux). Otherwise other files are left alone;
// all files are on disk under temporary names before the first takes its own. If more than the weights change, the old
// config.json is removed first and the new one comes last, so that a crash leaves the old model, the new one, or one
// that Load refuses, never a mixture.
func Save(dir string, m *Model, dtype weights.DType) error {
	files, err := render(m, dtype)
	if err != nil {
		return fmt.Errorf("vit: saving %s: %w", dir, err)
	}
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		err = errors.New("exists and is not a directory")
	case err == nil:
		if swapped := files.swap(dir, info.Mode().Perm()); !swapped {
			err = files.replace(dir)
		}
	case errors.Is(err, fs.ErrNotExist):
		err = files.create(filepath.Clean(dir))
	}
	if err != nil {
		return fmt.Errorf("vit: saving %s: %w", dir, err)
	}
	return nil
}

// rendered is a model as files.
type rendered struct {
	config, preprocessor []byte
	card                 []byte // nil if the model has nothing to say there
	tensors              []weights.Tensor
}

// render checks a model and makes its files' content.
func render(m *Model, dtype weights.DType) (*rendered, error) {
	if m == nil || m.Params == nil {
		return nil, errors.New("no parameters")
	}
	c := m.Params.Config
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if got, want := len(m.Params.Data), c.ParamCount(); got != want {
		return nil, fmt.Errorf("%d parameters, but the configuration wants %d", got, want)
	}
	r := &rendered{}
	var err error
	if r.config, err = marshalConfig(c); err != nil {
		return nil, fmt.Errorf("%s: %w", ConfigFile, err)
	}
	if r.preprocessor, err = m.Preprocessor.Marshal(); err != nil {
		return nil, fmt.Errorf("%s: %w", PreprocessorFile, err)
	}
	if m.Precision != "" || m.PrecisionLoss != nil {
		if r.card, err = json.MarshalIndent(card{m.Precision, m.PrecisionLoss}, "", "  "); err != nil {
			return nil, fmt.Errorf("%s: %w", CardFile, err)
		}
		r.card = append(r.card, '\n')
	}
	r.tensors, err = encode(m.Params, hfPieces(c, true), dtype)
	return r, err
}

// encode makes the tensors of a file from parts of the parameters.
func encode(params *Params, pieces []piece, dtype weights.DType) ([]weights.Tensor, error) {
	tensors := make([]weights.Tensor, 0, len(pieces))
	for _, p := range pieces {
		x := params.Data[p.offset : p.offset+p.length]
		if err := finite(p.name, x); err != nil {
			return nil, err
		}
		switch dtype {
		case weights.F32:
			tensors = append(tensors, weights.Float32Tensor(p.name, p.shape, x))
		case weights.F16:
			for i, v := range x {
				if v >= 65520 || v <= -65520 {
					return nil, fmt.Errorf("tensor %q: element %d is %v, beyond the range of F16", p.name, i, v)
				}
			}
			tensors = append(tensors, weights.Float16Tensor(p.name, p.shape, x))
		case weights.BF16:
			const end = 0x1.ffp127 // what is not below it rounds to infinity
			for i, v := range x {
				if v >= end || v <= -end {
					return nil, fmt.Errorf("tensor %q: element %d is %v, beyond the range of BF16", p.name, i, v)
				}
			}
			tensors = append(tensors, weights.BFloat16Tensor(p.name, p.shape, x))
		default:
			return nil, fmt.Errorf("weights can be saved as F32, F16 or BF16, not as %q", dtype)
		}
	}
	return tensors, nil
}

// SaveTimm writes the parameters alone, under timm's names, to a safetensors file that appears whole or not at all. The
// number of heads, eps and halting are not in it.
func SaveTimm(path string, p *Params, dtype weights.DType) error {
	tensors, err := encode(p, timmPieces(p.Config, "", true), dtype)
	if err != nil {
		return fmt.Errorf("vit: saving %s: %w", path, err)
	}
	return weights.WriteSafetensors(path, map[string]string{"format": "pt"}, tensors)
}

// create makes a new directory: filled beside its place, then renamed.
func (r *rendered) create(dir string) error {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return err
	}
	temp := filepath.Join(parent, atomicfile.TempName())
	if err := os.Mkdir(temp, 0o777); err != nil {
		return err
	}
	defer os.RemoveAll(temp) // finds nothing once it is renamed
	if err := r.replace(temp); err != nil {
		return err
	}
	if err := os.Rename(temp, dir); err != nil {
		return err
	}
	return atomicfile.SyncDir(parent)
}

// swap puts a new directory in the place of one that holds nothing but a model, and reports whether it could.
func (r *rendered) swap(dir string, mode fs.FileMode) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil || !onlyModel(dir) {
		return false
	}
	temp := filepath.Join(filepath.Dir(dir), atomicfile.TempName())
	if os.Mkdir(temp, 0o777) != nil {
		return false
	}
	defer os.RemoveAll(temp) // the old model afterwards
	return r.replace(temp) == nil && os.Chmod(temp, mode) == nil &&
		exchange(temp, dir) == nil && atomicfile.SyncDir(filepath.Dir(dir)) == nil
}

// Replaceable reports whether saving over dir loses nothing and leaves the old model whole until the new one is there:
// dir does not exist, is empty, or holds a model and nothing else.
func Replaceable(dir string) bool {
	list, err := os.ReadDir(dir)
	return errors.Is(err, fs.ErrNotExist) || err == nil && len(list) == 0 || onlyModel(dir)
}

// onlyModel reports whether a directory holds the files of a model in any form that Load reads, all regular, and
// nothing else.
func onlyModel(dir string) bool {
	list, err := os.ReadDir(dir)
	for _, e := range list {
		name := e.Name()
		ours := name == ConfigFile || name == PreprocessorFile ||
			name == CardFile || name == pytorchFile || name == weights.IndexFile || filepath.Ext(name) == ".safetensors"
		if !ours || !e.Type().IsRegular() {
			return false
		}
	}
	return err == nil && len(list) > 0
}

// replace writes the three files into a directory that exists.
func (r *rendered) replace(dir string) error { return r.replaceStep(dir, func() {}) }

// replaceStep is replace, calling step between any two changes of what stands under the final names.
func (r *rendered) replaceStep(dir string, step func()) error {
	type part struct {
		name    string
		content []byte // nil: the weights
		file    *atomicfile.File
	}
	// In the order of their renaming.
	parts := []part{{name: PreprocessorFile, content: r.preprocessor},
		{name: WeightsFile}, {name: ConfigFile, content: r.config}}
	if r.card != nil {
		parts = slices.Insert(parts, 0, part{name: CardFile, content: r.card})
	}
	for i := range parts {
		p := &parts[i]
		var err error
		if p.file, err = atomicfile.Create(filepath.Join(dir, p.name)); err != nil {
			return err
		}
		defer p.file.Discard()
		if p.content != nil {
			_, err = p.file.Write(p.content)
		} else { // transformers asks for "format"
			err = weights.EncodeSafetensors(p.file, map[string]string{"format": "pt"}, r.tensors)
		}
		if err != nil {
			return err
		}
		if err := p.file.Close(); err != nil {
			return err
		}
	}
	step()
	// Weights alone change in one step. Otherwise there is a time when they and the JSON files do not belong together.
	if !same(filepath.Join(dir, ConfigFile), r.config) || !same(filepath.Join(dir, PreprocessorFile), r.preprocessor) {
		if err := os.Remove(filepath.Join(dir, ConfigFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		step()
	}
	for i := range parts {
		if err := parts[i].file.Commit(); err != nil {
			return err
		}
		step()
	}
	return nil
}

// same says whether a file has this content.
func same(path string, content []byte) bool {
	b, err := os.ReadFile(path)
	return err == nil && bytes.Equal(b, content)
}
