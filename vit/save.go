package vit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/regular"
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
func Save(dir string, m *Model, dtype weights.DType) error { return save(dir, m, dtype, encode) }

// SaveRounded is Save with the weights of the blocks' linear maps alone as a precision of package infer takes them, and
// all else in F32: BF16, or I8 with a scale for each row. The model gives the same bits in that precision as before.
// transformers takes the former as it is, if with a word about tensors that it does not know, the latter by its own
// compressed-tensors.
func SaveRounded(dir string, m *Model, dtype weights.DType) error {
	return save(dir, m, dtype, encodeRounded)
}

// encoder makes the tensors of a file from parameters.
type encoder func(params *Params, pieces []piece, dtype weights.DType) ([]weights.Tensor, error)

func save(dir string, m *Model, dtype weights.DType, by encoder) error {
	files, err := render(m, dtype, by)
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

// rendered is a model as files, in the order in which they get their names.
type rendered []struct {
	name    string
	content []byte
	tensors []weights.Tensor // of the file of weights, in place of content
}

// render checks a model and makes its files' content.
func render(m *Model, dtype weights.DType, by encoder) (rendered, error) {
	if m == nil || m.Params == nil {
		return nil, errors.New("no parameters")
	}
	c := m.Params.Config
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if got, want := len(m.Params.Data), c.ParamCount(); got != want && m.Params.stored == nil {
		return nil, fmt.Errorf("%d parameters, but the configuration wants %d", got, want)
	}
	config, err := marshalConfig(c, dtype)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ConfigFile, err)
	}
	preprocessor, err := m.Preprocessor.Marshal()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", PreprocessorFile, err)
	}
	tensors, err := by(m.Params, hfPieces(c), dtype)
	if err != nil {
		return nil, err
	}
	tensors = append(tensors, kindOf(c).extras(c)...)
	files := rendered{{name: PreprocessorFile, content: preprocessor},
		{name: WeightsFile, tensors: tensors}, {name: ConfigFile, content: config}}
	if m.Precision != "" || m.PrecisionLoss != nil || m.TrainedOn != "" {
		out := card{Precision: m.Precision, PrecisionLoss: m.PrecisionLoss}
		if m.TrainedOn != "" {
			out.Data, _ = json.Marshal(m.TrainedOn) // neither can fail
			out.Recipe, _ = json.Marshal(cardRecipe{m.HeldOut})
		}
		text, err := json.MarshalIndent(out, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", CardFile, err)
		}
		files = append(rendered{{name: CardFile, content: append(text, '\n')}}, files...)
	}
	if m.Ladder != nil {
		text, err := marshalLadder(m)
		if err != nil {
			return nil, err
		}
		files = append(rendered{{name: LadderFile, content: text}}, files...)
	}
	return files, nil
}

// encodings are the types that weights can be saved as: what rounds to infinity, and how a tensor is made.
var encodings = map[weights.DType]struct {
	end    float64
	tensor func(name string, shape []int, data []float32) weights.Tensor
}{
	weights.F32:  {math.Inf(1), weights.Float32Tensor},
	weights.F16:  {65520, weights.Float16Tensor},
	weights.BF16: {0x1.ffp127, weights.BFloat16Tensor},
}

// encode makes the tensors of a file from parts of the parameters.
func encode(params *Params, pieces []piece, dtype weights.DType) ([]weights.Tensor, error) {
	tensors := make([]weights.Tensor, 0, len(pieces))
	for _, p := range pieces {
		x := make([]float32, p.Len())
		if err := params.Read(x, p.Offset); err != nil {
			return nil, err
		}
		t, err := encodeFloats(p, x, dtype)
		if err != nil {
			return nil, err
		}
		tensors = append(tensors, t)
	}
	return tensors, nil
}

// encodeFloats makes the tensor of a piece, whose numbers are x.
func encodeFloats(p piece, x []float32, dtype weights.DType) (t weights.Tensor, err error) {
	encoding, ok := encodings[dtype]
	if !ok {
		return t, fmt.Errorf("weights can be saved as F32, F16 or BF16, not as %q", dtype)
	}
	if err := finite(p.stored, x, 0); err != nil {
		return t, err
	}
	for i, v := range x {
		if math.Abs(float64(v)) >= encoding.end {
			return t, fmt.Errorf("tensor %q: element %d is %v, beyond the range of %s", p.stored, i, v, dtype)
		}
	}
	return encoding.tensor(p.stored, p.Shape, x), nil
}

// SaveTimm writes the parameters alone, under timm's names, to a safetensors file that appears whole or not at all. The
// number of heads, eps and halting are not in it. Registers get positions of zeros there, which timm wants.
func SaveTimm(path string, p *Params, dtype weights.DType) error {
	tensors, err := encode(p, timmPieces(p.Config), dtype)
	if c := p.Config; err == nil && c.Registers > 0 {
		for i, t := range tensors {
			if t.Name == "pos_embed" {
				at := c.positioned() * c.Embed * t.DType.Size()
				tensors[i].Data = slices.Insert(t.Data, at, make([]byte, c.Registers*c.Embed*t.DType.Size())...)
				tensors[i].Shape = []int{1, c.Tokens(), c.Embed}
			}
		}
	}
	if err != nil {
		return fmt.Errorf("vit: saving %s: %w", path, err)
	}
	return weights.WriteSafetensors(path, map[string]string{"format": "pt"}, tensors)
}

// create makes a new directory: filled beside its place, then renamed.
func (r rendered) create(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return err
	}
	temp, err := r.beside(dir)
	defer os.RemoveAll(temp) // finds nothing once it is renamed
	if err != nil {
		return err
	}
	if err := os.Rename(temp, dir); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(dir))
}

// swap puts a new directory in the place of one that holds nothing but a model, and reports whether it could.
func (r rendered) swap(dir string, mode fs.FileMode) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil || !onlyModel(dir) {
		return false
	}
	temp, err := r.beside(dir)
	defer os.RemoveAll(temp) // the old model afterwards
	return err == nil && os.Chmod(temp, mode) == nil &&
		exchange(temp, dir) == nil && atomicfile.SyncDir(filepath.Dir(dir)) == nil
}

// beside makes a temporary directory of the files beside dir.
func (r rendered) beside(dir string) (temp string, err error) {
	temp = filepath.Join(filepath.Dir(dir), atomicfile.TempName())
	if err := os.Mkdir(temp, 0o777); err != nil {
		return "", err
	}
	return temp, r.replace(temp)
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
		ours := slices.Contains([]string{ConfigFile, PreprocessorFile, CardFile, LadderFile,
			weights.IndexFile, weights.PytorchIndexFile}, name) || filepath.Ext(name) == ".safetensors" ||
			strings.HasPrefix(name, "pytorch_model") && filepath.Ext(name) == ".bin"
		if !ours || !e.Type().IsRegular() {
			return false
		}
	}
	return err == nil && len(list) > 0
}

// replace writes the files into a directory that exists.
func (r rendered) replace(dir string) error { return r.replaceStep(dir, func() {}) }

// replaceStep is replace, calling step between any two changes of what stands under the final names.
func (r rendered) replaceStep(dir string, step func()) error {
	pending := make([]*atomicfile.File, len(r))
	for i, f := range r {
		p, err := atomicfile.Create(filepath.Join(dir, f.name))
		if err != nil {
			return err
		}
		defer p.Discard()
		if f.tensors != nil { // transformers asks for "format"
			err = weights.EncodeSafetensors(p, map[string]string{"format": "pt"}, f.tensors)
		} else {
			_, err = p.Write(f.content)
		}
		if err == nil {
			err = p.Close()
		}
		if err != nil {
			return err
		}
		pending[i] = p
	}
	step()
	// Weights alone change in one step. Otherwise there is a time when they and the JSON files do not belong together.
	for _, name := range []string{ConfigFile, PreprocessorFile, LadderFile} {
		if !same(filepath.Join(dir, name), r.content(name)) {
			if err := remove(filepath.Join(dir, ConfigFile)); err != nil {
				return err
			}
			step()
			break
		}
	}
	if r.content(LadderFile) == nil { // the old model's was measured on other weights
		if err := remove(filepath.Join(dir, LadderFile)); err != nil {
			return err
		}
		step()
	}
	for _, p := range pending {
		if err := p.Commit(); err != nil {
			return err
		}
		step()
	}
	return nil
}

// content returns what is to be in a file, nil if it is not to be there.
func (r rendered) content(name string) []byte {
	for _, f := range r {
		if f.name == name {
			return f.content
		}
	}
	return nil
}

// same says whether a file has this content; no content is that of a file that is not there.
func same(path string, content []byte) bool {
	b, err := regular.Read(path, maxJSON)
	return err == nil && bytes.Equal(b, content) || errors.Is(err, fs.ErrNotExist) && content == nil
}

// remove removes a file if it is there.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
