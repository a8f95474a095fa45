package score

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/internal/results"
)

// scorer is a model that runs.
type scorer struct {
	classifier *adavit.Classifier
	files      adavit.FileOptions
	slots      chan struct{} // one for each picture that is held
}

// scorers are those of this process. Beam makes a DoFn for each of its threads, and again for each bundle that failed;
// the model is loaded once, and stays as long as the process does.
var scorers struct {
	sync.Mutex
	by map[string]*scorer
}

// load returns the process's scorer for these settings.
func load(ctx context.Context, s Settings) (*scorer, error) {
	key, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	scorers.Lock()
	defer scorers.Unlock()
	if found := scorers.by[string(key)]; found != nil {
		return found, nil
	}
	m, err := OpenModel(ctx, s.Model)
	if err != nil {
		return nil, err
	}
	c, err := adavit.NewClassifier(m, adavit.Options{Threads: s.Threads, Precision: s.Precision, Embed: s.Embeddings})
	if err != nil {
		return nil, err
	}
	threads := s.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	made := &scorer{classifier: c, files: adavit.FileOptions{Decoding: s.Decoding, Budget: s.Budget},
		slots: make(chan struct{}, 32*threads)}
	if scorers.by == nil {
		scorers.by = map[string]*scorer{}
	}
	scorers.by[string(key)] = made
	return made, nil
}

// row classifies a picture. Only ctx's end is an error; what is wrong with the picture is in the row.
func (s *scorer) row(ctx context.Context, name string, content []byte) (results.Row, error) {
	r, err := s.classifier.ClassifyFrom(ctx, name, bytes.NewReader(content), s.files)
	if err == nil {
		return results.Row{File: name, Result: &r.Result}, nil // without its time: written again, it is the same
	}
	return results.Row{File: name, Error: err.Error()}, ctx.Err()
}

// modelFiles are those of a model directory.
var modelFiles = []string{"config.json", "model.safetensors", "preprocessor_config.json", "budgets.json",
	"training.json"}

const maxModel = 16 << 30

// OpenModel is adavit.Open, and opens a directory of gs:// or s3://, too, by a copy that is gone when it returns.
func OpenModel(ctx context.Context, name string) (*adavit.Model, error) {
	if schemeOf(name) == "" {
		return adavit.OpenContext(ctx, name, adavit.OpenOptions{})
	}
	dir, err := os.MkdirTemp("", "adavit-model-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for _, file := range modelFiles {
		b, err := readAll(ctx, join(name, file), maxModel)
		if err != nil && permanent(err) && file != modelFiles[0] {
			continue // opening it says what is missing
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), b, 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("model %s: %w", name, err)
		}
	}
	m, err := adavit.OpenContext(ctx, dir, adavit.OpenOptions{})
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	return m, nil
}
