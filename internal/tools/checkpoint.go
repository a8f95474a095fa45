package tools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/onnx"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// ConvertOptions say what a checkpoint does not, and what shall be different in the copy. Zero values change nothing.
type ConvertOptions struct {
	Heads         int             // attention heads, where the checkpoint is a single file, which does not say
	Height, Width int             // another image size; position embeddings are resampled
	Classes       int             // a fresh head for that many classes
	Labels        string          // file with the classes' names, one a line
	Preprocessor  string          // file like preprocessor_config.json; "" = the checkpoint's own, or the usual one
	Halting       *halting.Config // how tokens halt
	Key           string          // entry of a PyTorch checkpoint that holds the weights, such as model_ema
	Prefix        string          // of the names of a single file's tensors, where it holds several networks
	Precision     infer.Precision // that the model is to run in unless another is asked for; Auto leaves that open
	Store         weights.DType   // type of all stored weights: F32, F16 or BF16; "": as Precision rounds them, or F32
	Opset         int             // of ONNX as output; 0 = onnx.DefaultOpset
	Progress      func(file string, done, total int64)
}

// Conversion says what became of a checkpoint.
type Conversion struct {
	Source     string   `json:"source"`
	Output     string   `json:"output"`
	Kind       string   `json:"kind"` // of the output: directory, safetensors or onnx
	Parameters int      `json:"parameters"`
	Notes      []string `json:"notes,omitempty"` // what a user should know: choices made, tensors to pick instead
}

// Convert writes the model src as dst: as ONNX if dst ends in .onnx, as one safetensors file under timm's names if it
// ends in .safetensors, else as a model directory. src is whatever adavit.Open takes, or a single file: safetensors,
// what torch.save wrote of a state dict, JAX's .npz, or ONNX. dst appears whole or not at all.
func Convert(ctx context.Context, src, dst string, o ConvertOptions) (Conversion, error) {
	done, ext := Conversion{Source: src, Output: dst}, strings.ToLower(filepath.Ext(dst))
	if dst == "" {
		return done, usage.Errorf("no output named")
	}
	if o.Opset != 0 && (ext != onnxExt || o.Opset < onnx.DefaultOpset || o.Opset > onnx.MaxOpset) {
		return done, usage.Errorf("--opset is %d for %s; an .onnx file has one, %d to %d", o.Opset, dst, onnx.DefaultOpset,
			onnx.MaxOpset)
	}
	if err := notInput(dst, src); err != nil {
		return done, err
	}
	labels, err := readLabels(o.Labels)
	if err != nil {
		return done, err
	}
	preprocessor, err := readPreprocessor(o.Preprocessor)
	if err != nil {
		return done, err
	}
	if preprocessor != nil && ext == tensorsExt {
		return done, usage.Errorf("--preprocessor is for a model directory or ONNX; %s holds tensors alone", dst)
	}
	m, err := o.open(ctx, src, &done)
	switch {
	case errors.Is(err, vit.ErrNoHead):
		return done, fmt.Errorf("%w (--num-classes says how many classes it shall have)", err)
	case err != nil:
		return done, err
	}
	done.Notes = append(done.Notes, m.Notes...)
	calibrated := m.Ladder != nil
	own, err := infer.Resolve(infer.Auto, m)
	if err != nil {
		return done, err
	}
	if m, err = o.change(m, labels, &done); err != nil {
		return done, err
	}
	oneFile := ext == onnxExt || ext == tensorsExt
	if oneFile {
		if err := replaceable(dst, ext); err != nil {
			return done, err
		}
	}
	if calibrated && (m.Ladder == nil || oneFile) {
		done.note("the ladder of budgets is not kept: 'adavit calibrate' measures one for a model directory")
	}
	if err := o.prepare(m, preprocessor, &done); err != nil {
		return done, err
	}
	switch {
	case o.Precision != infer.Auto && oneFile:
		return done, usage.Errorf("a precision is kept in a model directory, not in %s", dst)
	case o.Precision != infer.Auto:
		m.Precision = string(o.Precision)
	case oneFile && own != infer.F32:
		done.note("that the model is to run in %s is not kept, which only a model directory says", own)
	default:
		if now, err := infer.Resolve(infer.Auto, m); err == nil && now != own {
			done.note("the model will run in %s, not in %s: what that costs was measured before the change; --precision %s "+
				"keeps it", now, own, own)
		}
	}
	if ext == tensorsExt {
		done.noteTensorsAlone(m)
	}
	done.Parameters = m.Params.Config.ParamCount()
	if there(dst) {
		done.note("%s was there already, and has been replaced", dst)
	}
	switch ext {
	case onnxExt:
		done.Kind = "onnx"
		split, err := onnx.Save(dst, m.Params, onnx.Options{Opset: o.Opset, Preprocessor: &m.Preprocessor})
		if err != nil {
			return done, fmt.Errorf("%s: %w", dst, err)
		}
		if split {
			done.note("the weights are in %s, as they are more than one ONNX file can hold; keep both together",
				dst+onnx.DataSuffix)
		}
		return done, nil
	case tensorsExt:
		done.Kind = "safetensors"
		return done, vit.SaveTimm(dst, m.Params, cmp.Or(o.Store, weights.F32))
	}
	done.Kind = "directory"
	if info, err := os.Stat(dst); err == nil && info.IsDir() && !vit.Replaceable(dst) {
		return done, fmt.Errorf("%s holds other files than a model's; name a new directory", dst)
	}
	return done, o.save(dst, m, &done)
}

// there reports whether a file, or a folder that is not empty, has this name.
func there(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return err == nil
	}
	list, err := os.ReadDir(path)
	return err == nil && len(list) > 0
}

// save writes a model directory. Unless a type is asked for, the weights are stored as the precision rounds them.
func (o ConvertOptions) save(dst string, m *vit.Model, done *Conversion) error {
	rounded := map[infer.Precision]weights.DType{infer.Int8: weights.I8, infer.BF16: weights.BF16}[o.Precision]
	if o.Store != "" || rounded == "" {
		return vit.Save(dst, m, cmp.Or(o.Store, weights.F32))
	}
	instead := ""
	if m.Params.Rounded() == "" { // else the source has no better ones
		instead = fmt.Sprintf("; for training, ONNX and other precisions keep %s, or store all of them (--store F32)",
			done.Source)
	}
	done.note("the weights of the blocks are stored as %s, and give the same in %s%s", rounded, o.Precision, instead)
	return vit.SaveRounded(dst, m, rounded)
}

// open reads the model, from a single file or as adavit.Open does.
func (o ConvertOptions) open(ctx context.Context, src string, done *Conversion) (*vit.Model, error) {
	if info, err := os.Stat(src); err != nil || info.IsDir() {
		const single = "--%s is for a checkpoint of a single file; %s says for itself"
		switch {
		case o.Heads != 0:
			return nil, usage.Errorf(single, "heads", src)
		case o.Key != "":
			return nil, usage.Errorf(single, "key", src)
		case o.Prefix != "":
			return nil, usage.Errorf(single, "prefix", src)
		}
		open := adavit.OpenOptions{Progress: o.Progress}
		open.NewHead = o.Classes != 0
		return adavit.OpenContext(ctx, src, open)
	}
	if strings.ToLower(filepath.Ext(src)) == onnxExt {
		return o.openONNX(src, done)
	}
	c, err := weights.ReadCheckpoint(src, o.Key)
	if err != nil {
		return nil, err
	}
	done.noteFile(c, src, o)
	in := vit.ImportOptions{Heads: o.Heads, Height: o.Height, Width: o.Width, Classes: o.Classes, Prefix: o.Prefix,
		Prepared: o.Preprocessor != ""}
	m, err := vit.Import(c.File, in)
	switch {
	case errors.Is(err, vit.ErrHeads):
		return nil, fmt.Errorf("%s: %w: say it (--heads)", src, err)
	case errors.Is(err, vit.ErrSize):
		return nil, fmt.Errorf("%s: %w: say it (--image-size HEIGHTxWIDTH)", src, err)
	case errors.Is(err, vit.ErrPrefix):
		return nil, fmt.Errorf("%s: %w: choose one (--prefix)", src, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", src, err)
	}
	return m, nil
}

// change makes what the options ask to be different.
func (o ConvertOptions) change(m *vit.Model, labels []string, done *Conversion) (_ *vit.Model, err error) {
	c := m.Params.Config
	if o.Height != 0 && (o.Height != c.Height || o.Width != c.Width) {
		if m, err = m.Resize(o.Height, o.Width); err != nil {
			return nil, usage.Wrap(err)
		}
		to := m.Params.Config
		done.note("position embeddings resampled from %d×%d to %d×%d patches", c.GridH(), c.GridW(), to.GridH(), to.GridW())
	}
	switch n := len(labels); {
	case o.Classes != 0:
		if m, err = m.ReplaceHead(o.Classes, labels, 0); err != nil {
			return nil, usage.Wrap(err)
		}
		done.note("the head is fresh: fine-tune it before use (adavit train --init)")
	case n > 0 && n != c.Classes:
		return nil, usage.Errorf("%d labels for %d classes; --num-classes %d asks for a new head", n, c.Classes, n)
	case n > 0:
		m.Params.Config.Labels = labels
	}
	if o.Halting != nil {
		m = m.WithHalting(*o.Halting)
	}
	return m, nil
}

// noteTensorsAlone says what a file of tensors does not hold.
func (d *Conversion) noteTensorsAlone(m *vit.Model) {
	lost := []string{"how pictures are prepared"}
	if m.Params.Config.Labels != nil {
		lost = append(lost, "the names of the classes")
	}
	if m.Params.Config.Halting.Adaptive() {
		lost = append(lost, "how tokens halt")
	}
	d.note("tensors alone are kept: not %s, which a model directory holds", strings.Join(lost, ", nor "))
}

func (d *Conversion) note(format string, args ...any) {
	d.Notes = append(d.Notes, fmt.Sprintf(format, args...))
}

// avitName is how A-ViT's authors name a checkpoint: architecture, gate scale, gate centre.
var avitName = regexp.MustCompile(`^[a-z]+-([0-9]{1,4})-([0-9]{1,4})\.pth$`)

// noteFile says what a single file leaves open.
func (d *Conversion) noteFile(c *weights.Checkpoint, src string, o ConvertOptions) {
	if len(c.Keys) > 1 && o.Key == "" {
		d.note("weights taken from entry %q of %s; --key takes another", c.Key, strings.Join(c.Keys, ", "))
	}
	if o.Halting != nil {
		return
	}
	where, scale, center := "", c.Args["gate_scale"], c.Args["gate_center"]
	if scale != "" && center != "" {
		where = "its entry \"args\" has"
	} else if name := avitName.FindStringSubmatch(filepath.Base(src)); name != nil {
		where, scale, center = "its name is how A-ViT's authors write", name[1], name[2]
	}
	if where != "" {
		d.note("converted as a dense model, but %s gate scale %s and center %s: if this is an A-ViT, add --halting %s,%s",
			where, scale, center, scale, center)
	}
}

// maxLabels bounds a file of labels; twenty thousand names take about a megabyte.
const maxLabels = 16 << 20

// readLabels reads the names of classes, one a line; "" has none.
func readLabels(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	text, err := regular.Read(path, maxLabels)
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	if text, err = regular.Text(text); err != nil {
		return nil, fmt.Errorf("labels: %s: %w", path, err)
	}
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n"), "\n")
	for i, line := range lines {
		if lines[i] = strings.TrimSpace(line); lines[i] == "" {
			return nil, fmt.Errorf("labels: %s: line %d is empty", path, i+1)
		}
	}
	return lines, nil
}

// Inspection describes a model.
type Inspection struct {
	Model      string          `json:"model"`
	Embed      int             `json:"embed"`
	Heads      int             `json:"heads"`
	Layers     int             `json:"layers"`
	Hidden     int             `json:"hidden"`
	Height     int             `json:"height"`
	Width      int             `json:"width"`
	Channels   int             `json:"channels"`
	Patch      int             `json:"patch"`
	Tokens     int             `json:"tokens"` // the special ones included
	Special    int             `json:"special_tokens"`
	Registers  int             `json:"registers,omitempty"` // of these
	Pooling    string          `json:"pooling,omitempty"`   // what the head reads, if not the class token alone
	Classes    int             `json:"classes"`
	Labels     []string        `json:"labels,omitempty"`
	Eps        float64         `json:"layer_norm_eps"`
	Halting    *halting.Config `json:"halting,omitempty"` // absent in a dense model
	Ladder     []vit.Rung      `json:"ladder,omitempty"`  // measured budgets
	Parameters int             `json:"parameters"`
	DenseMACs  int64           `json:"dense_macs_per_image"` // had no token halted
	Precision  infer.Precision `json:"precision,omitempty"`  // of a run unless another is asked for, if not f32
	Rounded    infer.Precision `json:"rounded_for,omitempty"`
	Tensors    []TensorInfo    `json:"tensors"`
}

// TensorInfo is one tensor: of a model under its name in timm's layout, of a file as the file has it.
type TensorInfo struct {
	Name  string `json:"name"`
	Type  string `json:"dtype,omitempty"` // of a file's tensors
	Shape []int  `json:"shape"`
}

// FileInspection describes a single file of weights, which nothing in it was run to read.
type FileInspection struct {
	File       string       `json:"file"`
	Format     string       `json:"format"`
	Key        string       `json:"key,omitempty"`     // entry of a PyTorch file that the tensors are in
	Keys       []string     `json:"keys,omitempty"`    // all entries that hold tensors
	Globals    []string     `json:"globals,omitempty"` // what a pickle names: Python would import and call it
	Parameters int          `json:"parameters"`        // elements of all tensors
	Tensors    []TensorInfo `json:"tensors"`
}

// InspectFile describes a checkpoint of a single file; key picks an entry of a PyTorch file, "" the usual one.
func InspectFile(path, key string) (FileInspection, error) {
	c, err := weights.ReadCheckpoint(path, key)
	if err != nil {
		return FileInspection{}, err
	}
	in := FileInspection{File: path, Format: c.Format, Key: c.Key, Keys: c.Keys, Globals: c.Globals}
	for _, t := range c.Tensors {
		n, err := t.Len()
		if err != nil {
			return in, fmt.Errorf("%s: %w", path, err)
		}
		in.Parameters += n
		in.Tensors = append(in.Tensors, TensorInfo{t.Name, string(t.DType), t.Shape})
	}
	return in, nil
}

// Inspect describes m; name is what it is called by.
func Inspect(name string, m *vit.Model) Inspection {
	c := m.Params.Config
	in := Inspection{Model: name, Embed: c.Embed, Heads: c.Heads, Layers: c.Layers, Hidden: c.Hidden,
		Height: c.Height, Width: c.Width, Channels: c.Channels, Patch: c.Patch, Tokens: c.Tokens(), Special: c.Special(),
		Registers: c.Registers,
		Classes:   c.Classes, Labels: c.Labels, Eps: c.Eps, Parameters: c.ParamCount(), DenseMACs: c.MACs(nil),
		Ladder: m.Ladder}
	if c.Pooling != vit.ClassToken {
		in.Pooling = c.Pooling.String()
	}
	if c.Halting.Adaptive() {
		in.Halting = &c.Halting
	}
	in.Rounded = infer.RoundedFor(m)
	if p, err := infer.Resolve(infer.Auto, m); err == nil && p != infer.F32 { // commands that run it say errors
		in.Precision = p
	}
	for _, t := range m.Params.Tensors() {
		in.Tensors = append(in.Tensors, TensorInfo{Name: t.Name, Shape: t.Shape})
	}
	return in
}
