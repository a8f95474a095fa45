package vit

import (
	"encoding/json"
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

// The files of a model directory. The weights may also lie in a PyTorch file, or in shards of either kind, which
// weights.IndexFile and weights.PytorchIndexFile list.
const (
	ConfigFile       = "config.json"
	WeightsFile      = "model.safetensors"
	PreprocessorFile = "preprocessor_config.json"
	processorFile    = "processor_config.json" // which may have it under "image_processor"
	CardFile         = "training.json"         // how a model came about; not needed to run it
	LadderFile       = "budgets.json"          // a model's ladder of measured budgets; not needed either
	pytorchFile      = "pytorch_model.bin"
	adapterFile      = "adapter_config.json" // of PEFT: the directory is none of a model
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

	// TrainedOn is the data set that the card says the model was trained on, and HeldOut the share of its pictures that
	// was kept out of that, so that a copy, too, is calibrated by those.
	TrainedOn string
	HeldOut   float64

	Ladder      []Rung      // measured budgets, if LadderFile is there
	Calibration Calibration // how they were measured, as far as the file says

	Notes []string // what a user should know of how the files were read: names chosen, tensors left out
}

// LoadOptions say what a caller makes of a model. The zero value wants it as it is.
type LoadOptions struct {
	// NewHead says that the head will be replaced (Model.ReplaceHead). The model need not have one then; it gets one of
	// one class, and whatever the files have in a head's place is left out.
	NewHead bool

	// Stored leaves the weights in model.safetensors, or its shards, which stay open as long as the model is in use:
	// Params.Data is nil, and Params.Read, Params.Whole and infer.Pack read from there, so that a model that is packed
	// never takes the memory of all its float32s. What is not finite is found then. What PyTorch saved, in storages of
	// any order, is read at once all the same.
	Stored bool
}

// Load reads a model directory as transformers lays it out (ViT and DeiT image classifiers) or as timm's hub does;
// preprocessor_config.json may be absent, or part of processor_config.json. Whatever else is missing, superfluous, of a
// wrong shape or not finite is an error that names the file and the tensor or key, and what the directory has instead;
// so is a model_type, architecture or hidden_act that this program does not compute. One without a head is an error
// that wraps ErrNoHead.
func Load(dir string) (*Model, error) { return LoadOptions{}.Load(dir) }

// Load is Load with options.
func (o LoadOptions) Load(dir string) (*Model, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("vit: model directory: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("vit: %s is not a model directory (one with %s, %s and %s)",
			dir, ConfigFile, WeightsFile, PreprocessorFile)
	}
	shown := func(name string) string { return filepath.Join(dir, name) }
	return load(source{os.DirFS(dir), ".", dir, shown, o, new([]io.Closer)})
}

// LoadFS is Load from a file system, such as one embedded in the program. dir is a slash-separated path in it.
func LoadFS(fsys fs.FS, dir string) (*Model, error) { return LoadOptions{}.LoadFS(fsys, dir) }

// LoadFS is LoadFS with options. Weights stay in files alone that are io.ReaderAts.
func (o LoadOptions) LoadFS(fsys fs.FS, dir string) (*Model, error) {
	shown := func(name string) string { return path.Join(dir, name) }
	return load(source{fsys, dir, "", shown, o, new([]io.Closer)})
}

func load(s source) (*Model, error) {
	m, err := s.model()
	if err != nil {
		err = fmt.Errorf("vit: %w", err)
	} else if !s.Stored {
		m.Params, err = m.Params.Whole()
	}
	if err != nil || !s.Stored {
		for _, file := range *s.opened {
			file.Close()
		}
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (s source) model() (*Model, error) {
	if s.has(adapterFile) {
		return nil, fmt.Errorf("%s: %w%s", s.shown(adapterFile), errAdapter, s.base())
	}
	text, err := s.read(ConfigFile, maxJSON)
	if errors.Is(err, fs.ErrNotExist) {
		err = s.lacks(err)
	}
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
	st, err := readState(file, "", s.NewHead)
	if err == nil {
		if !st.has("head.weight") {
			if c.Classes, c.Labels = 1, nil; !s.NewHead {
				err = st.headless()
			}
		}
	}
	if err == nil {
		m.Params, err = st.params(c, qkvBias)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.shown(name), err)
	}
	m.Params.stored.file = s.shown(name)
	m.Notes = st.notes
	if kindOf(m.Params.Config).scales {
		if m, err = m.suited(); err != nil {
			return nil, fmt.Errorf("%s: %w", s.shown(PreprocessorFile), err)
		}
	}
	var card card
	if err := s.optional(CardFile, &card); err != nil {
		return nil, err
	}
	m.Precision, m.PrecisionLoss = card.Precision, card.PrecisionLoss
	var recipe cardRecipe
	var data string
	if json.Unmarshal(card.Recipe, &recipe) == nil && json.Unmarshal(card.Data, &data) == nil { // they may be anybody's
		m.TrainedOn, m.HeldOut = data, recipe.Validation
	}
	return m, s.readLadder(m)
}

// readPreprocessor changes nothing where there is no file. A preprocessor that stays zero is one that data refuses to
// use; tensors can still go in.
func (s source) readPreprocessor(m *Model) error {
	name := PreprocessorFile
	text, err := s.read(name, maxJSON)
	if errors.Is(err, fs.ErrNotExist) {
		var j struct {
			Image json.RawMessage `json:"image_processor"`
		}
		name = processorFile
		if err = s.optional(name, &j); err != nil || j.Image == nil {
			return err
		}
		text = j.Image
	}
	if err == nil {
		m.Preprocessor, err = picture.ParsePreprocessor(s.shown(name), text)
	}
	return err
}

// card is what this package reads of training.json.
type card struct {
	Precision     string             `json:"precision,omitempty"`
	PrecisionLoss map[string]float64 `json:"precision_loss,omitempty"`
	Data          json.RawMessage    `json:"data,omitempty"`
	Recipe        json.RawMessage    `json:"recipe,omitempty"`
}

type cardRecipe struct {
	Validation float64 `json:"validation"`
}

// source is the directory that a model is read from.
type source struct {
	fsys  fs.FS
	dir   string
	disk  string                   // the directory's path, "" if it is not on disk
	shown func(name string) string // a file's name in errors

	LoadOptions
	opened *[]io.Closer // the files of weights that tensors are still in
}

// base says which model an adapter was trained on, if its file does.
func (s source) base() string {
	var j struct {
		Base string `json:"base_model_name_or_path"`
	}
	if s.optional(adapterFile, &j) != nil || j.Base == "" {
		return ""
	}
	return fmt.Sprintf("; it was trained on %.120q", j.Base)
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

// tensors reads the weights: model.safetensors, or the shards that its index lists, or PyTorch's file or shards. A file
// much larger than a model of that many parameters is refused before it is read. Safetensors stay in their files where
// these can be read from anywhere.
func (s source) tensors(parameters int) (f *weights.File, name string, err error) {
	const widest, besides = 8, 160 << 20 // MAE's usual decoder has 100 MB, however small the ViT is
	limit := widest*int64(parameters) + besides
	open := func(name string) (io.ReadCloser, int64, error) {
		r, size, err := s.open(name, limit)
		if err == nil {
			*s.opened = append(*s.opened, r)
		}
		return r, size, err
	}
	switch r, size, err := open(WeightsFile); {
	case err == nil:
		if at, ok := r.(io.ReaderAt); ok {
			f, err = weights.OpenSafetensors(s.shown(WeightsFile), at, size)
		} else {
			f, err = weights.ReadSafetensorsFrom(s.shown(WeightsFile), r, size)
		}
		return f, WeightsFile, err
	case !errors.Is(err, fs.ErrNotExist):
		return nil, WeightsFile, err
	case s.has(weights.IndexFile), !s.has(pytorchFile) && s.has(weights.PytorchIndexFile):
		name := weights.IndexFile
		if !s.has(name) {
			name = weights.PytorchIndexFile
		}
		index, err := s.read(name, maxJSON)
		if err == nil {
			f, err = weights.OpenSharded(s.shown(name), index, open)
		}
		return f, name, err
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
		return nil, WeightsFile, s.lacks(err)
	}
}

// has says whether there is a file of that name.
func (s source) has(name string) bool {
	_, err := fs.Stat(s.fsys, path.Join(s.dir, name))
	return err == nil
}
