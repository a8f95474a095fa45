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

	Ladder []Rung // measured budgets, if LadderFile is there
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
	text, err := s.read(ConfigFile, maxJSON)
	if err != nil {
		return nil, err
	}
	if isTimm(text) {
		return s.loadTimm(text)
	}
	c, qkvBias, err := parseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("vit: %s: %w", s.shown(ConfigFile), err)
	}
	// stays zero, which data refuses to use, where there is no file: tensors can still go in
	var pre picture.Preprocessor
	text, err = s.read(PreprocessorFile, maxJSON)
	switch {
	case err == nil:
		if pre, err = picture.ParsePreprocessor(s.shown(PreprocessorFile), text); err != nil {
			return nil, fmt.Errorf("vit: %w", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	file, name, err := s.tensors(c.ParamCount())
	if err != nil {
		return nil, err
	}
	params, err := fill(c, file, "", hfPieces(c, qkvBias))
	if err != nil {
		return nil, fmt.Errorf("vit: %s: %w", s.shown(name), err)
	}
	m := &Model{Params: params, Preprocessor: pre}
	return m, errors.Join(s.readCard(m), s.readLadder(m))
}

// card is what this package reads of training.json.
type card struct {
	Precision     string             `json:"precision,omitempty"`
	PrecisionLoss map[string]float64 `json:"precision_loss,omitempty"`
}

// readCard reads the card, which may be absent.
func (s source) readCard(m *Model) error {
	text, err := s.read(CardFile, maxJSON)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var c card
	if err := strictjson.UnmarshalKnown(text, &c); err != nil {
		return fmt.Errorf("vit: %s: %w", s.shown(CardFile), err)
	}
	m.Precision, m.PrecisionLoss = c.Precision, c.PrecisionLoss
	return nil
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
	// Asking first keeps us from waiting for ever on a named pipe.
	info, err := fs.Stat(s.fsys, full)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err == nil && info.Size() > limit {
		err = fmt.Errorf("%d bytes, expected at most %d", info.Size(), limit)
	}
	var f fs.File
	if err == nil {
		f, err = s.fsys.Open(full)
	}
	if err != nil {
		var wrapped *fs.PathError
		if errors.As(err, &wrapped) { // its path lacks the directory
			err = wrapped.Err
		}
		return nil, 0, fmt.Errorf("vit: %s: %w", s.shown(name), err)
	}
	return f, info.Size(), nil
}

// read returns a whole small file.
func (s source) read(name string, limit int64) ([]byte, error) {
	f, _, err := s.open(name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return regular.ReadAll("vit: "+s.shown(name), f, limit)
}

// tensors reads the weights: model.safetensors, or the shards that its index lists, or PyTorch's file. A file much
// larger than a model of that many parameters is refused before it is read.
func (s source) tensors(parameters int) (f *weights.File, name string, err error) {
	const widest, header = 8, 16 << 20
	limit := widest*int64(parameters) + header
	open := func(name string) (io.ReadCloser, int64, error) { return s.open(name, limit) }
	r, size, err := open(WeightsFile)
	switch {
	case err == nil:
		defer r.Close()
		f, err = weights.ReadSafetensorsFrom(s.shown(WeightsFile), r, size)
		name = WeightsFile
	case !errors.Is(err, fs.ErrNotExist):
		return nil, WeightsFile, err
	case s.has(weights.IndexFile):
		var index []byte
		if index, err = s.read(weights.IndexFile, maxJSON); err == nil {
			f, err = weights.ReadSharded(s.shown(weights.IndexFile), index, open)
		}
		name = weights.IndexFile
	case s.disk != "" && s.has(pytorchFile):
		// for its checks: the file is read from disk in no fixed order
		if r, _, err = s.open(pytorchFile, limit); err == nil {
			r.Close()
			var c *weights.Checkpoint
			if c, err = weights.ReadCheckpoint(s.shown(pytorchFile), ""); err == nil {
				f = c.File
			}
		}
		name = pytorchFile
	default:
		return nil, WeightsFile, err
	}
	if err != nil {
		return nil, name, fmt.Errorf("vit: %w", err)
	}
	return f, name, nil
}

// has says whether there is a file of that name.
func (s source) has(name string) bool {
	_, err := fs.Stat(s.fsys, path.Join(s.dir, name))
	return err == nil
}
