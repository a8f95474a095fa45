// Package adavit classifies images with vision transformers whose tokens stop being computed once the model has learnt
// enough from them. It is the library's front door:
//
//	m, err := adavit.Open("fashion-adaptive") // or a directory, or hf:owner/name
//	c, err := adavit.NewClassifier(m, adavit.Options{})
//	defer c.Close()
//	r, err := c.Classify(ctx, img)
//	fmt.Println(r.Top[0].Label, r.Tokens, "token-blocks")
//
// A Classifier is safe for concurrent use: it holds the weights once, and calls of many goroutines share passes. What
// it is built of can be used on its own: vit (models and their files), infer (the engine), eval (accuracy on a data
// set), train and trainer, data, picture, halting.
//
// How much was computed is given in two units. A token-block is one token going through one block: a dense model of N
// tokens (the class token included) and L blocks spends N·L of them on an image. MACs are multiply-accumulates as
// vit.Config.MACs counts them, from the tokens that really ran. Both leave out blocks that an image skipped because its
// class token had halted.
package adavit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/adavit/adavit/hub"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/models"
	"github.com/adavit/adavit/vit"
)

// Model is a vision transformer with how pictures become its input.
type Model = vit.Model

// Precision is the arithmetic of a model's large products.
type Precision = infer.Precision

// Auto, the zero value, is the precision that the model's training.json asks for, else the fastest that costs the model
// at most 0.1 points of its accuracy by that file; where it says nothing, F32. See infer.Precision for what the others
// round.
const (
	Auto Precision = infer.Auto
	F32  Precision = infer.F32
	BF16 Precision = infer.BF16
	Int8 Precision = infer.Int8
)

// ErrUsage is wrapped by errors about options that no model and no data could make valid.
var ErrUsage = usage.Err

// OpenOptions say how a model of a hub is downloaded, and what a caller makes of it; weights stay in their files in any
// case (Stored). The zero value will do.
type OpenOptions struct {
	vit.LoadOptions

	// Progress is told how many of a file's bytes have come; total is −1 while it is not known.
	Progress func(file string, done, total int64)
	Log      *slog.Logger // told what a user should know, such as a cached model used for want of the hub
}

// Open loads a model: a bundled one by its name (BundledModels lists them), a directory with config.json, weights and
// preprocessor_config.json, or hf:owner/name[@revision] from a model hub. A bundled name goes before a directory of the
// same name; write ./name for the directory. A checkpoint that is a single file must become a directory first.
//
// The weights stay in their files, which are open as long as the model is in use, and are read when they are wanted:
// NewClassifier packs them, a few rows at a time; Model.Params.Whole has them all in memory, where Model.Params has
// none. A weight that is not finite is an error of these.
func Open(name string) (*Model, error) { return OpenContext(context.Background(), name, OpenOptions{}) }

// OpenContext is Open with a download that ctx can end and that can be watched. Hub, token and cache are those of the
// environment (hub.Default says which variables), shared with Python's huggingface_hub; what a cancelled download has
// brought is kept for the next one. A malformed reference is an error that wraps ErrUsage.
func OpenContext(ctx context.Context, name string, o OpenOptions) (*Model, error) {
	if name == "" {
		return nil, fmt.Errorf("no model named; %s", bundled())
	}
	o.Stored = true
	if slices.Contains(models.Names(), name) {
		return o.LoadFS(models.FS, name)
	}
	repo, revision, ok, err := hub.ParseReference(name)
	if err != nil {
		return nil, usage.Wrap(err)
	}
	dir := name
	if ok {
		h := hub.Default()
		h.Progress, h.Log = o.Progress, o.Log
		if dir, err = h.Model(ctx, repo, revision); err != nil {
			return nil, err
		}
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("model %q: neither a bundled model, nor a directory that exists, nor hf:owner/name; %s",
			name, bundled())
	case err == nil && !info.IsDir():
		return nil, fmt.Errorf("model %s is not a model directory (one with config.json and model.safetensors); "+
			"if it is a checkpoint, 'adavit convert %s DIR' makes one of it", name, name)
	}
	return o.Load(dir)
}

// BundledModels lists the names of the models that are part of this program.
func BundledModels() []string { return models.Names() }

func bundled() string {
	if names := models.Names(); len(names) > 0 {
		return "bundled models: " + strings.Join(names, ", ")
	}
	return "this build has no bundled models"
}
