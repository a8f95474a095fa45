package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/weights"
)

func (a *app) convert() *cobra.Command {
	var o tools.ConvertOptions
	var size, labels, halt, store string
	cmd := &cobra.Command{
		Use:   "convert SRC DST",
		Short: "Turn any checkpoint into a model directory, a safetensors file or ONNX",
		Long: "Convert reads a model directory (transformers' or timm's), hf:owner/name, a bundled model, or a single " +
			"file (safetensors, or a state dict that\n" +
			"PyTorch saved; nothing in it is executed), and writes DST: ONNX if it ends in .onnx, tensors under timm's names " +
			"if in .safetensors, else a\n" +
			"model directory that every command and transformers take. DST appears whole or not at all.\n\n" +
			"Halting schemes and their constants:" + schemes(),
		Example: "  adavit convert deit_tiny_patch16_224.pth deit-tiny\n" +
			"  adavit convert tiny-10-30.pth a-vit-tiny --halting 10,30\n" +
			"  adavit convert hf:facebook/deit-small-patch16-224 deit-384 --image-size 384\n" +
			"  adavit convert deit-tiny flowers --num-classes 5 --labels flowers.txt\n" +
			"  adavit convert fashion-adaptive fashion.onnx\n" +
			"  adavit convert deit-tiny deit-tiny-int8 --precision int8    # what it runs in unless another is asked for",
		Args: arguments("a checkpoint and where to write it", 2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := atLeastOne(cmd, "heads", "num-classes"); err != nil {
				return err
			}
			var err error
			if o.Height, o.Width, err = parseSize(size); err != nil {
				return err
			}
			if o.Halting, err = parseHalting(halt); err != nil {
				return err
			}
			if o.Store = weights.DType(strings.ToUpper(store)); o.Store != weights.F32 && o.Store != weights.F16 &&
				o.Store != weights.BF16 {
				return badUsage("--store is %q, want F32, F16 or BF16", store)
			}
			if labels != "" {
				if o.Labels, err = tools.ReadLabels(labels); err != nil {
					return err
				}
			}
			o.Precision = a.precision
			bar := a.progress("downloading")
			defer bar.end()
			o.Progress = bar.download
			c, err := tools.Convert(cmd.Context(), args[0], args[1], o)
			if err != nil {
				return err
			}
			bar.end()
			for _, note := range c.Notes {
				a.log.Info(note)
			}
			if a.json {
				return a.printJSON(c)
			}
			return a.print(fmt.Appendf(nil, "%s: %s of %d parameters\n", c.Output, c.Kind, c.Parameters))
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Heads, "heads", 0,
		"attention `heads`, which a single file does not say (default: the published models', by width)")
	f.StringVar(&size, "image-size", "",
		"other image `size`, as 384 or 224x320 (height x width): position embeddings are resampled")
	f.IntVar(&o.Classes, "num-classes", 0, "put a fresh head for that `number` of classes")
	f.StringVar(&labels, "labels", "", "`file` with the classes' names, one a line")
	f.StringVar(&halt, "halting", "",
		"how tokens halt: `SCHEME[,KEY=VALUE…]` such as tome,merge=8, SCALE,CENTER[,EPSILON] of A-ViT's gate, a JSON "+
			"object as in config.json, or none")
	f.StringVar(&o.Key, "key", "", "`entry` of a PyTorch checkpoint that holds the weights, such as model_ema")
	f.StringVar(&store, "store", "F32", "`type` of the stored weights: F32, F16 or BF16")
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

// parseHalting reads a scheme and its constants; "" changes nothing.
func parseHalting(s string) (*halting.Config, error) {
	if s == "" {
		return nil, nil
	}
	c, err := halting.Parse(s)
	if err != nil {
		return nil, badUsage("--halting is %q: %v", s, err)
	}
	return &c, nil
}

// schemes lists the halting schemes with their constants for help texts: a new line and what each is.
func schemes() string {
	var b strings.Builder
	for _, d := range halting.Descriptors() {
		fmt.Fprintf(&b, "\n  %-11s %s", d.Name, d.Summary)
		for i, k := range d.Keys {
			b.WriteString([]string{" (", ", "}[min(i, 1)] + k.Name)
			if _, number := k.Default.(float64); number {
				fmt.Fprintf(&b, "=%v", k.Default)
			}
		}
		if d.Keys != nil {
			b.WriteString(")")
		}
	}
	return b.String()
}
