// Package onnx writes a model as an ONNX file, for ONNX Runtime and everything else that reads the format
// (https://onnx.ai/onnx).
//
// The graph takes "input" [batch, C, H, W] float32, prepared as the model's own preprocessor does it, and gives
// "logits" [batch, classes]. batch is any number from 1 up. Only standard operators are used, those of opset 17: the
// first that has LayerNormalization, so that a norm is one node in every runtime, and old enough (2022) for all that
// are in use. Opset 20 has Gelu too; ONNX Runtime puts the five nodes that spell it in opset 17 together by itself, so
// that nothing is gained there.
//
// An adaptive model removes its halted tokens in the graph: after every block but the last the tokens that go on are
// gathered, so that all later products are smaller. The images of a batch keep the number of tokens that the one with
// the most of them needs, and where an image has fewer its halted ones fill the place, barred as keys. For a batch of
// one that is exact removal; for larger ones it is a mask over what is left. One formulation serves both, without a
// branch. An image whose readouts (the tokens that are read, by themselves or in the patches' mean) have all halted is
// finished: nothing can change its logits, so its other tokens halt with them. In a model with an exit the heads look
// at the readouts after every block but the last, and a sure prediction halts them.
//
// The weights are the model's own bits, in timm's layout and names (blocks.3.attn.qkv is cut into q, k and v).
package onnx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/internal/protobuf"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
)

// Opsets that a graph can be written for. ONNX Runtime has run graphs of all of them.
const (
	DefaultOpset = 17
	MaxOpset     = 28
)

// Options say what graph to write. The zero value is the model as it is, in DefaultOpset.
type Options struct {
	Dense bool // leave halting out: every token runs in every block
	Depth bool // adaptive only: a second output, "depth" [batch, N] int64, the number of blocks that each token ran in
	Opset int  // DefaultOpset to MaxOpset; 0 for DefaultOpset

	Preprocessor *picture.Preprocessor // how pictures become the input, to be kept in the file; nil for nothing
}

// Keys of a file's metadata. The last two hold what files of these names hold in a model's directory, so that package
// read gives the model back as it was.
const (
	labelsKey       = "labels" // the classes' names, as a JSON list
	configKey       = vit.ConfigFile
	preprocessorKey = vit.PreprocessorFile
)

// Write writes the model as one ONNX file, the same bytes for the same model and options. Weights stream to w; they are
// not copied. Names of the classes go into the file's metadata, as a JSON list under "labels", and so does
// what package read needs to give the model back.
//
// A file beyond 2 GiB is refused, for that is protobuf's limit (Save has a way round it), and so are weights that are
// not finite.
func Write(w io.Writer, p *vit.Params, o Options) error { return write(w, nil, p, o) }

// DataSuffix is what Save adds to the name of a model's file for that of its weights.
const DataSuffix = ".data"

// Save writes the model at path. Beyond protobuf's 2 GiB the weights go into a second file beside it, path+DataSuffix,
// as ONNX's external data; split says so. At no time does the model's file lie there without its own weights: both are
// whole before either takes its name, and an old model goes first.
func Save(path string, p *vit.Params, o Options) (split bool, err error) {
	if p == nil {
		return false, errors.New("onnx: no parameters")
	}
	// The rest of a file, nodes and names, is far below the room that is left for it here.
	const room = 64 << 20
	if split = 4*int64(p.Config.ParamCount())+min(room, maxMessage/2) > maxMessage; !split {
		return false, atomicfile.Replace(path, func(w io.Writer) error { return Write(w, p, o) })
	}
	model, err := atomicfile.Create(path)
	if err != nil {
		return true, err
	}
	defer model.Discard()
	data, err := atomicfile.Create(path + DataSuffix)
	if err != nil {
		return true, err
	}
	defer data.Discard()
	err = write(model, &beside{data, filepath.Base(path) + DataSuffix}, p, o)
	for _, f := range []*atomicfile.File{data, model} {
		if err == nil {
			err = f.Close()
		}
	}
	if err == nil {
		if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	for _, f := range []*atomicfile.File{data, model} {
		if err == nil {
			err = f.Commit()
		}
	}
	return true, err
}

func write(w io.Writer, data *beside, p *vit.Params, o Options) error {
	if o.Opset == 0 {
		o.Opset = DefaultOpset
	}
	err := check(p, o, data == nil)
	if err == nil {
		p, err = p.Whole()
	}
	if err == nil {
		err = checkData(p)
	}
	if err == nil {
		var about []protobuf.Message
		if about, err = metadata(p.Config, o); err == nil {
			err = encode(w, data, build(p, o), o.Opset, about)
		}
	}
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	return nil
}

// metadata lists the entries of a file's metadata.
func metadata(c vit.Config, o Options) (list []protobuf.Message, err error) {
	if c.Labels != nil {
		labels, err := json.Marshal(c.Labels)
		if err != nil {
			return nil, fmt.Errorf("labels: %w", err)
		}
		list = append(list, pair(labelsKey, string(labels)))
	}
	if o.Dense {
		c.Halting = halting.Dense()
	}
	config, err := vit.MarshalConfig(c)
	if err != nil {
		return nil, err
	}
	list = append(list, pair(configKey, string(config)))
	if o.Preprocessor != nil {
		text, err := o.Preprocessor.Marshal()
		if err != nil {
			return nil, err
		}
		list = append(list, pair(preprocessorKey, string(text)))
	}
	return list, nil
}

// check reports what keeps a model from being written, to one file if single is set.
func check(p *vit.Params, o Options, single bool) error {
	if p == nil {
		return errors.New("no parameters")
	}
	c := p.Config
	if err := c.Validate(); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if o.Opset < DefaultOpset || o.Opset > MaxOpset {
		return fmt.Errorf("opset %d cannot be written (%d to %d can)", o.Opset, DefaultOpset, MaxOpset)
	}
	adaptive := c.Halting.Adaptive() && !o.Dense
	if d, err := c.Halting.Descriptor(); adaptive && (err != nil || !d.ONNX) {
		can := strings.Join(halting.Names(func(d halting.Descriptor) bool { return d.ONNX }), ", ")
		return fmt.Errorf("halting scheme %q cannot be written (%q can, and every model as a dense one)", d.Name, can)
	}
	if o.Depth && !adaptive {
		return errors.New("a dense graph has no depth to give: every token runs in every block")
	}
	if single {
		if err := checkSize(4 * int64(c.ParamCount())); err != nil {
			return err
		}
	}
	return nil
}

// checkData reports what is wrong with the parameters themselves.
func checkData(p *vit.Params) error {
	if got, want := len(p.Data), p.Config.ParamCount(); got != want {
		return fmt.Errorf("%d parameters, but the configuration wants %d", got, want)
	}
	for _, t := range p.Tensors() {
		if i := kernels.FirstNotFinite(t.Data); i >= 0 {
			return fmt.Errorf("tensor %q: element %d is %v", t.Name, i, t.Data[i])
		}
	}
	return nil
}

// maxMessage is the largest message that protobuf's readers take. Tests set it lower.
var maxMessage int64 = math.MaxInt32

// checkSize refuses a file that protobuf's readers cannot take.
func checkSize(bytes int64) error {
	if bytes > maxMessage {
		return fmt.Errorf("the file would have %.1f GiB or more, but protobuf ends at 2 GiB", float64(bytes)/(1<<30))
	}
	return nil
}
