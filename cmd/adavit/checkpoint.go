package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/onnx"
	"github.com/adavit/adavit/weights"
)

func (a *app) convert() *cobra.Command {
	var o tools.ConvertOptions
	var size, scheme, store string
	cmd := &cobra.Command{
		Use:   "convert SRC DST",
		Short: "Turn any checkpoint into a model directory, a safetensors file or ONNX",
		Long: `Convert reads a model directory (transformers' or timm's), hf:owner/name, a bundled model, or a single file
(safetensors, a state dict that PyTorch saved, or JAX's .npz, of which nothing is executed; or ONNX), and writes DST:
ONNX if it ends in .onnx, tensors under timm's names if in .safetensors, else a model directory that every command and
transformers take. DST appears whole or not at all; weights beyond 2 GiB, which one ONNX file cannot hold, go into
DST.data beside it.

With --precision int8 or bf16 a model directory runs in that unless another is asked for, and stores the weights that it
rounds in 8 bits, with scales beside, or in 16: a third or half of the file, and the same results, bit for bit, as of
weights that are rounded when they are loaded. They can be trained, exported and run in other precisions still, with
what rounding has left, which is then said. transformers reads both, the former with the package compressed-tensors.

A single file's tensors may be named as timm, DeiT, DINO, DINOv2, MAE, transformers, torchvision, mmpretrain or Google's
JAX code has them, behind any prefix. What was chosen and what was left out is logged. Weights without a head get one
where --num-classes asks for it.

Of ONNX, plain vision transformers are read as PyTorch, timm, transformers, torchvision and optimum export them: the
weights are found by what the graph computes, and a graph that computes anything else is refused. How pictures become
its input a graph does not say, nor what its classes are called: --preprocessor and --labels do, or the
preprocessor_config.json and config.json that optimum puts beside it; else the usual way is taken and logged. Weights,
names and preprocessing that this program wrote it reads back as they were; budgets are of model directories alone.

Halting schemes and their constants:
` + schemes(),
		Example: `  adavit convert deit_tiny_patch16_224.pth deit-tiny
  adavit convert tiny-10-30.pth a-vit-tiny --halting 10,30
  adavit convert hf:facebook/deit-small-patch16-224 deit-384 --image-size 384
  adavit convert deit-tiny flowers --num-classes 5 --labels flowers.txt
  adavit convert dino.pth flowers --key teacher --prefix backbone. --num-classes 5
  adavit convert fashion-adaptive fashion.onnx
  adavit convert exported.onnx DIR --labels flowers.txt --preprocessor preprocessor_config.json
  adavit convert deit-tiny quick --precision int8    # a third of the file, and runs in that by default`,
		Args: arguments(2, "a checkpoint and where to write it"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.Height, o.Width, err = parseSize(size); err != nil {
				return err
			}
			if scheme != "" {
				c, err := halting.Parse(scheme)
				if err != nil {
					return badUsage("--halting is %q: %v", scheme, err)
				}
				o.Halting = &c
			}
			o.Store = weights.DType(strings.ToUpper(store))
			if !slices.Contains([]weights.DType{"", weights.F32, weights.F16, weights.BF16}, o.Store) {
				return badUsage("--store is %q, want F32, F16 or BF16", store)
			}
			a.bar.start("downloading")
			o.Precision, o.Progress = a.precision, a.bar.download
			c, err := tools.Convert(cmd.Context(), args[0], args[1], o)
			if err != nil {
				return err
			}
			for _, note := range c.Notes {
				a.log.Info(note)
			}
			return a.show(c, fmt.Sprintf("%s: %s of %d parameters\n", c.Output, c.Kind, c.Parameters))
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Heads, "heads", 0,
		"attention `heads`, which a single file does not say (default: the published models', by width)")
	f.StringVar(&size, "image-size", "",
		"other image `size`, as 384 or 224x320 (height x width): position embeddings are resampled")
	f.IntVar(&o.Classes, "num-classes", 0, "put a fresh head for that `number` of classes")
	f.StringVar(&o.Labels, "labels", "", "`file` with the classes' names, one a line")
	f.StringVar(&o.Preprocessor, "preprocessor", "", "`file` like preprocessor_config.json that says how pictures become "+
		"the model's input (default: the checkpoint's own, or the usual one of those who name tensors as it does)")
	f.StringVar(&scheme, "halting", "", "how tokens halt: `SCHEME[,KEY=VALUE...]` such as tome,merge=8, "+
		"SCALE,CENTER[,EPSILON] of A-ViT's gate, a JSON object as in config.json, or none")
	f.StringVar(&o.Key, "key", "", "`entry` of a PyTorch checkpoint that holds the weights, such as model_ema")
	f.IntVar(&o.Opset, "opset", 0, fmt.Sprintf("`version` of ONNX's operators, %d (default) to %d, which ONNX Runtime "+
		"1.32 has run", onnx.DefaultOpset, onnx.MaxOpset))
	f.StringVar(&o.Prefix, "prefix", "",
		"`beginning` of the names of the tensors to take, where a single file holds several networks")
	f.StringVar(&store, "store", "", "`type` of all stored weights: F32, F16 or BF16 (default: F32, but what --precision "+
		"int8 or bf16 rounds is stored in 8 or 16 bits)")
	return cmd
}

// parseSize reads 384 or 224x320, height first; "" is 0×0.
func parseSize(s string) (height, width int, err error) {
	if s == "" {
		return 0, 0, nil
	}
	h, w, two := strings.Cut(strings.ToLower(s), "x")
	if !two {
		w = h
	}
	height, errH := strconv.Atoi(h)
	width, errW := strconv.Atoi(w)
	if errH != nil || errW != nil || height < 1 || width < 1 {
		return 0, 0, badUsage("--image-size is %q, want a side such as 384, or HEIGHTxWIDTH", s)
	}
	return height, width, nil
}

// schemes lists the halting schemes with their constants for help texts.
func schemes() string {
	var b strings.Builder
	for _, d := range halting.Descriptors() {
		var keys []string
		for _, k := range d.Keys {
			if _, number := k.Default.(float64); number {
				k.Name += fmt.Sprintf("=%v", k.Default)
			}
			keys = append(keys, k.Name)
		}
		line := fmt.Sprintf("\n  %-11s %s", d.Name, d.Summary)
		constants := " (" + strings.Join(keys, ", ") + ")"
		if len(line)+len(constants) > helpWidth {
			constants = "\n             " + constants
		}
		if b.WriteString(line); keys != nil {
			b.WriteString(constants)
		}
	}
	return b.String()
}

func (a *app) inspect() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "inspect MODEL|FILE",
		Short: "Describe a model or a checkpoint: architecture, tensors, parameters, MACs, halting",
		Long: `Inspect loads a model, which checks every tensor of it, and describes it; tensors are listed under their
names in timm's layout. Of a single file (safetensors, or what PyTorch saved) it lists the tensors, and what a
pickle names that Python would import; nothing of it is run.`,
		Example: `  adavit inspect fashion-adaptive
  adavit inspect DIR --json
  adavit inspect checkpoint.pth --key model_ema`,
		Args: arguments(1, "a model (directory, bundled name, hf:owner/name) or a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if info, err := os.Stat(args[0]); err == nil && !info.IsDir() {
				if strings.HasSuffix(strings.ToLower(args[0]), ".onnx") {
					m, err := tools.OpenONNX(args[0])
					if err != nil {
						return err
					}
					in := tools.Inspect(args[0], m)
					return a.show(in, modelText(in))
				}
				in, err := tools.InspectFile(args[0], key)
				if err != nil {
					return err
				}
				return a.show(in, fileText(in))
			}
			if key != "" {
				return badUsage("--key is for a single file, %s is none", args[0])
			}
			m, err := a.open(cmd.Context(), args[0])
			if err == nil {
				_, err = m.Params.Whole() // finds what is wrong with the weights
			}
			if err != nil {
				return err
			}
			in := tools.Inspect(args[0], m)
			return a.show(in, modelText(in))
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "`entry` of a PyTorch checkpoint to list, such as model_ema")
	return cmd
}

func fileText(in tools.FileInspection) string {
	text := fmt.Sprintf("file        %s\nformat      %s\nparameters  %d\n", in.File, in.Format, in.Parameters)
	if len(in.Keys) > 0 {
		text += fmt.Sprintf("entries     %s (listed: %s)\n", strings.Join(in.Keys, ", "), in.Key)
	}
	if len(in.Globals) > 0 {
		text += fmt.Sprintf("\nPython would import and call these to read the file; here none was:\n  %s\n",
			strings.Join(in.Globals, "\n  "))
	}
	return text + tensorsText(in.Tensors)
}

func modelText(in tools.Inspection) string {
	scheme := "none: a dense model"
	if in.Halting != nil {
		scheme = "scheme " + in.Halting.String()
	}
	if n := len(in.Ladder); n > 0 {
		scheme += fmt.Sprintf("\nbudgets     %.3f to %.3f of the dense token-blocks, %d rungs", in.Ladder[0].Mean,
			in.Ladder[n-1].Mean, n)
	}
	special := ""
	if in.Registers > 0 {
		special = fmt.Sprintf(" (%d registers)", in.Registers)
	}
	if in.Pooling != "" {
		special += ", the head reads " + in.Pooling
	}
	precision := ""
	if in.Precision != "" {
		precision = fmt.Sprintf("precision   %s unless another is asked for", in.Precision)
		if in.Rounded != "" {
			precision += fmt.Sprintf("; the weights are stored as %s rounds them", in.Rounded)
		}
		precision += "\n"
	}
	return fmt.Sprintf(`model       %s
input       %d × %d × %d (channels, height, width), patches of %[5]d × %[5]d: %d tokens, %d of them special%s
network     %d blocks, %d wide, %d heads, hidden %d, layer norm eps %g
classes     %d
parameters  %d
MACs        %.4g M an image when no token halts
%shalting     %s
`, in.Model, in.Channels, in.Height, in.Width, in.Patch, in.Tokens, in.Special, special, in.Layers, in.Embed, in.Heads,
		in.Hidden, in.Eps, in.Classes, in.Parameters, float64(in.DenseMACs)/1e6, precision, scheme) + tensorsText(in.Tensors)
}

// tensorsText is an empty line and then a line for each tensor, with its type if it says one.
func tensorsText(tensors []tools.TensorInfo) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0) // writing to memory cannot fail
	fmt.Fprintln(w)
	for _, t := range tensors {
		if t.Type != "" {
			t.Name += "\t" + t.Type
		}
		fmt.Fprintf(w, "%s\t%v\n", t.Name, t.Shape)
	}
	w.Flush()
	return b.String()
}
