// Package adavit classifies images with vision transformers whose tokens stop being computed once they have said what they know. It is the
// library's front door: open a model, classify images, measure a model on a data set, train one. What it is built of can be used on its
// own: vit (models and their files), infer (the engine), train, data, halting.
//
//	model, err := adavit.Open("fashion-adaptive") // or a directory
//	classifier, err := adavit.New(model, adavit.Options{})
//	defer classifier.Close()
//	results, err := classifier.Classify(ctx, img)
//	fmt.Println(results[0].Top[0].Label, results[0].Tokens, "token-blocks")
//
// How much was computed is given in two units. A token-block is one token going through one block: a dense model of N tokens (the class
// token included) and L blocks spends N·L of them on an image. MACs are multiply-accumulates as vit.Config.MACs counts them, from the
// tokens that really ran. Both leave out blocks that an image skipped because its class token had halted.
package adavit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/models"
	"github.com/adavit/adavit/vit"
)

// Open loads a model: a bundled one by its name (BundledModels lists them), a directory with config.json, weights and preprocessor_config.json,
// or hf:owner/name[@revision] from a model hub (see Fetch). A bundled name goes before a directory of the same name; write ./name for the
// directory. A checkpoint that is a single file must become a directory first: Convert.
func Open(name string) (*vit.Model, error) { return OpenContext(context.Background(), name, nil) }

// OpenContext is Open with a download that ctx can end and progress, which may be nil, can watch.
func OpenContext(ctx context.Context, name string, progress func(file string, done, total int64)) (*vit.Model, error) {
	if name == "" {
		return nil, fmt.Errorf("no model named; %s", bundled())
	}
	if slices.Contains(models.Names(), name) {
		return vit.LoadFS(models.FS, name)
	}
	dir, err := Fetch(ctx, name, progress)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("model %q: neither a bundled model, nor a directory that exists, nor hf:owner/name; %s", name, bundled())
	case err == nil && !info.IsDir():
		return nil, fmt.Errorf("model %s is not a model directory (one with config.json and model.safetensors); if it is a checkpoint, 'adavit convert %s DIR' makes one of it", name, name)
	}
	return vit.Load(dir)
}

// BundledModels lists the names of the models that are part of this program.
func BundledModels() []string { return models.Names() }

func bundled() string {
	names := models.Names()
	if len(names) == 0 {
		return "this build has no bundled models"
	}
	return "bundled models: " + strings.Join(names, ", ")
}

// PrecisionAuto is the precision that the model's training.json asks for (see ConvertOptions), else the fastest that costs the model no more than
// autoLoss of its accuracy by that file; where it says nothing of precisions, f32. The others are infer's: f32, bf16, int8.
const PrecisionAuto = "auto"

// ErrUsage is wrapped by errors about options that no model and no data could make valid.
var ErrUsage = errors.New("wrong usage")

// precision resolves a name of a precision for a model, which may be nil where there is no more than an architecture; "" means auto.
func precision(name string, m *vit.Model) (infer.Precision, error) {
	_, err := infer.ParsePrecision(name)
	if err := cmp.Or(kernels.Configured(), err); err != nil {
		return "", fmt.Errorf("%w: %w", ErrUsage, err)
	}
	return infer.Resolve(infer.Precision(name), m)
}

// newEngine packs a model for one engine.
func newEngine(p *vit.Params, precision infer.Precision, o infer.Options) (*infer.Engine, error) {
	w, err := infer.Pack(p, precision)
	if err != nil {
		return nil, err
	}
	return infer.New(w, o)
}

// maxThreads is far above any machine; more is a slip of the finger.
const maxThreads = 1024

// threads resolves a number of threads; 0 means the CPUs that the process may use (affinity and cgroup quota counted).
func threads(n int) (int, error) {
	if n < 0 || n > maxThreads {
		return 0, fmt.Errorf("%w: %d threads, want 1 to %d (or 0 for all CPUs that the process may use)", ErrUsage, n, maxThreads)
	}
	if n == 0 {
		n = min(runtime.GOMAXPROCS(0), maxThreads)
	}
	return n, nil
}
