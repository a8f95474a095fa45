package vit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/internal/strictjson"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/weights"
)

// The files of a model directory. The weights may also lie in shards, which weights.IndexFile lists, or in a PyTorch
// file.
const (
	ConfigFile       = "config.json"
	WeightsFile      = "model.safetensors"
	PreprocessorFile = "preprocessor_config.json"
	CardFile         = "training.json" // how a model came about; not needed to run it
	LadderFile       = "budgets.json"  // a model's ladder of measured budgets; not needed either
	pytorchFile      = "pytorch_model.bin"
)

// maxJSON bounds the two JSON files; twenty thousand labels take about a megabyte.
const maxJSON = 16 << 20

// Model is everything a directory holds: parameters with their configuration, and how to turn a picture into input.
type Model struct {
	Params       *Params
	Preprocessor picture.Preprocessor // zero if the directory does not say

	// PrecisionLoss is what precisions other than f32 cost on the validation images, in points of top-1, by their names
	// (bf16, int8), as far as the model's card, training.json, says.
	PrecisionLoss map[string]float64
	Precision     string // that the model is to run in unless another is asked for, as its card says; "" if it does not

	Ladder      []Rung      // measured budgets, if LadderFile is there
	Calibration Calibration // how they were measured, as far as the file says
}

// Load reads a model directory as transformers lays it out (ViT and DeiT image classifiers) or as timm's hub does;
// preprocessor_config.json may be absent. Whatever else is missing, superfluous, of a wrong shape or not finite is an
// error that names the file and the tensor or key; so is a model_type, architecture or hidden_act that this program
// does not compute.
func Load(dir string) (*Model, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("vit: model directory: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("vit: %s is not a model directory (one with %s, %s and %s)",
			dir, ConfigFile, WeightsFile, PreprocessorFile)
	}
	return load(source{os.DirFS(dir), ".", dir, func(name string) string { return filepath.Join(dir, name) }})
}

// LoadFS is Load from a file system, such as one embedded in the program. dir is a slash-separated path in it.
func LoadFS(fsys fs.FS, dir string) (*Model, error) {
	return load(source{fsys, dir, "", func(name string) string { return path.Join(dir, name) }})
}

func load(s source) (*Model, error) {
	m, err := s.model()
	if err != nil {
		return nil, fmt.Errorf("vit: %w", err)
	}
	return m, nil
}

func (s source) model() (*Model, error) {
	text, err := s.read(ConfigFile, maxJSON)
	if err != nil {
		return nil, err
	}
	if isTimm(text) {
		return s.loadTimm(text)
	}
	c, qkvBias, err := parseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.shown(ConfigFile), err)
	}
	m := &Model{}
	if err := s.readPreprocessor(m); err != nil {
		return nil, err
	}
	file, name, err := s.tensors(c.ParamCount())
	if err != nil {
		return nil, err
	}
	if kindOf(c).scales {
		file, err = foldScales(file, scaleNames)
	}
	if err == nil {
		m.Params, err = fill(c, file, "", hfPieces(c, qkvBias))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.shown(name), err)
	}
	var card card
	if err := s.optional(CardFile, &card); err != nil {
		return nil, err
	}
	m.Precision, m.PrecisionLoss = card.Precision, card.PrecisionLoss
	return m, s.readLadder(m)
}

// readPreprocessor changes nothing where there is no file. A preprocessor that stays zero is one that data refuses to
// use; tensors can still go in.
func (s source) readPreprocessor(m *Model) error {
	text, err := s.read(PreprocessorFile, maxJSON)
	if err == nil {
		m.Preprocessor, err = picture.ParsePreprocessor(s.shown(PreprocessorFile), text)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// card is what this package reads of training.json.
type card struct {
	Precision     string             `json:"precision,omitempty"`
	PrecisionLoss map[string]float64 `json:"precision_loss,omitempty"`
}

// source is the directory that a model is read from.
type source struct {
	fsys  fs.FS
	dir   string
	disk  string                   // the directory's path, "" if it is not on disk
	shown func(name string) string // a file's name in errors
}

// open opens a regular file and returns its size, which is at most limit.
func (s source) open(name string, limit int64) (fs.File, int64, error) {
	full := path.Join(s.dir, name)
	info, err := fs.Stat(s.fsys, full) // asking first keeps us from waiting for ever on a named pipe
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errors.New("not a regular file")
	case info.Size() > limit:
		err = fmt.Errorf("%d bytes, expected at most %d", info.Size(), limit)
	default:
		var f fs.File
		if f, err = s.fsys.Open(full); err == nil {
			return f, info.Size(), nil
		}
	}
	if wrapped, ok := errors.AsType[*fs.PathError](err); ok { // its path lacks the directory
		err = wrapped.Err
	}
	return nil, 0, fmt.Errorf("%s: %w", s.shown(name), err)
}

// read returns a whole small file.
func (s source) read(name string, limit int64) ([]byte, error) {
	f, _, err := s.open(name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return regular.ReadAll(s.shown(name), f, limit)
}

// optional reads a JSON file into v, a pointer, if there is one; keys that v does not have are for others.
func (s source) optional(name string, v any) error {
	text, err := s.read(name, maxJSON)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := strictjson.UnmarshalKnown(text, v); err != nil {
		return fmt.Errorf("%s: %w", s.shown(name), err)
	}
	return nil
}

// tensors reads the weights: model.safetensors, or the shards that its index lists, or PyTorch's file. A file much
// larger than a model of that many parameters is refused before it is read.
func (s source) tensors(parameters int) (f *weights.File, name string, err error) {
	const widest, header = 8, 16 << 20
	limit := widest*int64(parameters) + header
	open := func(name string) (io.ReadCloser, int64, error) { return s.open(name, limit) }
	switch r, size, err := open(WeightsFile); {
	case err == nil:
		defer r.Close()
		f, err = weights.ReadSafetensorsFrom(s.shown(WeightsFile), r, size)
		return f, WeightsFile, err
	case !errors.Is(err, fs.ErrNotExist):
		return nil, WeightsFile, err
	case s.has(weights.IndexFile):
		index, err := s.read(weights.IndexFile, maxJSON)
		if err == nil {
			f, err = weights.ReadSharded(s.shown(weights.IndexFile), index, open)
		}
		return f, weights.IndexFile, err
	case s.disk != "" && s.has(pytorchFile):
		r, _, err := open(pytorchFile) // for its checks: the file is read from disk in no fixed order
		if err != nil {
			return nil, pytorchFile, err
		}
		r.Close()
		c, err := weights.ReadCheckpoint(s.shown(pytorchFile), "")
		if err != nil {
			return nil, pytorchFile, err
		}
		return c.File, pytorchFile, nil
	default:
		return nil, WeightsFile, err
	}
}

// has says whether there is a file of that name.
func (s source) has(name string) bool {
	_, err := fs.Stat(s.fsys, path.Join(s.dir, name))
	return err == nil
}
