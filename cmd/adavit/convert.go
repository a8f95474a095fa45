package main

import (
	"encoding/json"
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
		Long: "Convert reads a model directory (transformers' or timm's), hf:owner/name, a bundled model, or a single file (safetensors, or a state dict that\n" +
			"PyTorch saved; nothing in it is executed), and writes DST: ONNX if it ends in .onnx, tensors under timm's names if in .safetensors, else a\n" +
			"model directory that every command and transformers take. DST appears whole or not at all.",
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
			if o.Store = weights.DType(strings.ToUpper(store)); o.Store != weights.F32 && o.Store != weights.F16 && o.Store != weights.BF16 {
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
	f.IntVar(&o.Heads, "heads", 0, "attention `heads`, which a single file does not say (default: the published models', by width)")
	f.StringVar(&size, "image-size", "", "other image `size`, as 384 or 224x320 (height x width): position embeddings are resampled")
	f.IntVar(&o.Classes, "num-classes", 0, "put a fresh head for that `number` of classes")
	f.StringVar(&labels, "labels", "", "`file` with the classes' names, one a line")
	f.StringVar(&halt, "halting", "", "how tokens halt: `SCALE,CENTER[,EPSILON]` of A-ViT's gate, POLICY[,KEY=VALUE…] such as tome,merge=8, a JSON object as in config.json, or none")
	f.StringVar(&o.Key, "key", "", "`entry` of a PyTorch checkpoint that holds the weights, such as model_ema")
	f.StringVar(&store, "store", "F32", "`type` of the stored weights: F32, F16 or BF16")
	return cmd
}

// haltingJSON reads the "halting" object that the flag s stands for.
func haltingJSON(s string, text []byte) (*halting.Config, error) {
	var c halting.Config
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, badUsage("--halting is %q: %v", s, err)
	}
	return &c, nil
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

// parseHalting reads SCALE,CENTER[,EPSILON], POLICY[,KEY=VALUE…], a JSON object or none; "" changes nothing.
func parseHalting(s string) (*halting.Config, error) {
	switch {
	case s == "":
		return nil, nil
	case s == halting.Dense().Policy:
		c := halting.Dense()
		return &c, nil
	case strings.HasPrefix(s, "{"):
		return haltingJSON(s, []byte(s))
	case s[0] >= 'a' && s[0] <= 'z' && s != "nan" && s != "inf":
		policy, rest, more := strings.Cut(s, ",")
		object := map[string]any{"policy": policy}
		for more {
			var pair string
			pair, rest, more = strings.Cut(rest, ",")
			key, value, ok := strings.Cut(pair, "=")
			if !ok || !json.Valid([]byte(value)) {
				return nil, badUsage("--halting is %q, want POLICY,KEY=VALUE with a number, true or false for each value", s)
			}
			object[key] = json.RawMessage(value)
		}
		text, err := json.Marshal(object)
		if err != nil {
			return nil, badUsage("--halting is %q: %v", s, err)
		}
		return haltingJSON(s, text)
	}
	c := halting.Config{Policy: "token"}
	parts := strings.Split(s, ",")
	for i, part := range parts {
		v, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil || len(parts) < 2 || len(parts) > 3 {
			return nil, badUsage("--halting is %q, want SCALE,CENTER[,EPSILON] or none", s)
		}
		c = c.With([]string{"gate_scale", "gate_center", "epsilon"}[i], v)
	}
	return &c, nil
}
