package tools

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/weights"
)

// Bounds of what a load test holds in memory.
const (
	maxLoadPictures = 1000
	maxLoadBytes    = 256 << 20
	maxPictureBytes = 64 << 20 // of a file
)

// errEnough ends a walk through pictures.
var errEnough = errors.New("as much as is held")

// loadPictures calls f with pictures of what is named, spread evenly over it: files as they are (content), those of a
// data set as images. It ends without an error where f returns errEnough.
func loadPictures(ctx context.Context, name string, f func(content []byte, img image.Image) error) error {
	var each func(i int) error
	n := 0
	info, err := os.Stat(name)
	if err == nil && !info.IsDir() && picture.HasEnding(name) || err == nil && info.IsDir() && holdsPictures(name) {
		files, err := picture.Files{Names: []string{name}}.Resolve()
		if err != nil {
			return err
		}
		n, each = len(files), func(i int) error {
			if files[i].Err != nil {
				return files[i].Err
			}
			content, err := regular.Read(files[i].Name, maxPictureBytes)
			if err != nil {
				return err
			}
			return f(content, nil)
		}
	} else {
		d, err := datasets.Open(name, data.Test, nil)
		if err != nil {
			return err
		}
		n, each = d.Len(), func(i int) error {
			img, err := data.Image(d, i, picture.Decoding{})
			if err != nil {
				return err
			}
			return f(nil, img)
		}
	}
	for k := range min(n, maxLoadPictures) {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := each(k * n / min(n, maxLoadPictures))
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// holdsPictures reports whether there are picture files in a folder or right below it.
func holdsPictures(dir string) bool {
	for _, pattern := range []string{"*", "*/*"} {
		names, _ := filepath.Glob(filepath.Join(dir, pattern)) // the pattern is well formed, but for odd folders
		for _, name := range names {
			if picture.HasEnding(name) {
				return true
			}
		}
	}
	return false
}

// pictureBodies are picture files: PNG where there were none.
func pictureBodies(ctx context.Context, name string) (bodies []loadBody, err error) {
	held, encoder := 0, png.Encoder{BufferPool: new(oneBuffer)}
	err = loadPictures(ctx, name, func(content []byte, img image.Image) error {
		if img != nil {
			var b bytes.Buffer
			if err := encoder.Encode(&b, img); err != nil {
				return err
			}
			content = b.Bytes()
		}
		if held += len(content); held > maxLoadBytes && len(bodies) > 0 {
			return errEnough
		}
		bodies = append(bodies, loadBody{content: content, kind: http.DetectContentType(content)})
		return nil
	})
	return bodies, err
}

// oneBuffer lets pictures that are encoded one after the other share their memory.
type oneBuffer struct{ buffer *png.EncoderBuffer }

func (b *oneBuffer) Get() *png.EncoderBuffer       { return b.buffer }
func (b *oneBuffer) Put(buffer *png.EncoderBuffer) { b.buffer = buffer }

// tensorBodies are requests of the Open Inference Protocol with its binary tensor extension: a batch of images
// [B, C, H, W] each, for the logits. Images that fill no batch are left out.
func tensorBodies(ctx context.Context, o LoadOptions, model string) (bodies []loadBody, err error) {
	parameters := map[string]any{}
	if o.Budget.Mean > 0 {
		parameters["compute_budget"] = o.Budget.Mean
	}
	if o.Budget.Max > 0 {
		parameters["compute_budget_max"] = o.Budget.Max
	}
	var batch []float32
	images := 0
	add := func(values []float32, channels, height, width int) error {
		if (images+1)*4*len(values) > maxLoadBytes && len(bodies) > 0 || len(bodies) == maxLoadPictures {
			return errEnough
		}
		images++
		if batch = append(batch, values...); len(batch) < o.Batch*len(values) {
			return nil
		}
		request := map[string]any{
			"inputs": []any{map[string]any{"name": "input", "datatype": "FP32", "shape": []int{o.Batch, channels, height, width},
				"parameters": map[string]any{"binary_data_size": 4 * len(batch)}}},
			"outputs": []any{map[string]any{"name": "logits", "parameters": map[string]any{"binary_data": true}}},
		}
		if len(parameters) > 0 {
			request["parameters"] = parameters
		}
		head, err := json.Marshal(request)
		if err != nil {
			return err
		}
		bodies = append(bodies, loadBody{appendFloats(head[:len(head):len(head)], batch), "application/octet-stream",
			len(head)})
		batch = batch[:0]
		return nil
	}
	enough := func(err error) ([]loadBody, error) {
		if err == nil && len(bodies) == 0 && images > 0 {
			err = usage.Errorf("%d images of %s are held to be sent, fewer than --batch %d", images, o.Images, o.Batch)
		}
		return bodies, err
	}
	if strings.EqualFold(filepath.Ext(o.Images), tensorsExt) {
		return enough(tensorsOf(o.Images, add))
	}
	like := cmp.Or(o.Like, model)
	m, err := adavit.OpenContext(ctx, like, adavit.OpenOptions{})
	if err != nil {
		return nil, usage.Errorf("--api %s sends tensors, and pictures become tensors as their model wants it: name the "+
			"model's directory by --like, or give tensors by --images X.safetensors ('adavit preprocess' makes them): %w",
			APIV2, err)
	}
	c := m.Params.Config
	if err := m.Preprocessor.Check(c.Channels, c.Height, c.Width); err != nil {
		return nil, fmt.Errorf("%s: %w", like, err)
	}
	return enough(loadPictures(ctx, o.Images, func(content []byte, img image.Image) (err error) {
		if img == nil {
			if img, err = picture.Decode("picture", bytes.NewReader(content)); err != nil {
				return err
			}
		}
		values := make([]float32, c.ImageLen())
		if err := m.Preprocessor.Apply(values, img, c.Channels, c.Height, c.Width); err != nil {
			return err
		}
		return add(values, c.Channels, c.Height, c.Width)
	}))
}

// tensorsOf adds the images of a file of tensors, which holds "input" [B, C, H, W].
func tensorsOf(name string, add func(values []float32, channels, height, width int) error) error {
	file, err := weights.ReadSafetensors(name)
	if err != nil {
		return err
	}
	t, ok := file.Get("input")
	if !ok || len(t.Shape) != 4 || t.Shape[0] == 0 {
		return fmt.Errorf(`%s: no tensor "input" [B, C, H, W]`, name)
	}
	values, err := t.Float32s()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	size := len(values) / t.Shape[0]
	for i := range t.Shape[0] {
		err := add(values[i*size:(i+1)*size], t.Shape[1], t.Shape[2], t.Shape[3])
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// newOrder is the order in which n bodies are sent: mixed, since neighbours in a data set are often alike.
func newOrder(n int, seed uint64) []int { return rand.New(rand.NewPCG(seed, 1<<63)).Perm(n) }
