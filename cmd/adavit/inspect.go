package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/adavit/adavit/internal/tools"
	"github.com/spf13/cobra"
)

func (a *app) inspect() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "inspect MODEL|FILE",
		Short: "Describe a model or a checkpoint: architecture, tensors, parameters, MACs, halting",
		Long: "Inspect loads a model, which checks every tensor of it, and describes it; tensors are listed under their " +
			"names in timm's layout. Of a single\n" +
			"file (safetensors, or what PyTorch saved) it lists the tensors, and what a pickle names that Python would " +
			"import; nothing of it is run.",
		Example: "  adavit inspect fashion-adaptive\n  adavit inspect DIR --json\n  adavit inspect checkpoint.pth --key " +
			"model_ema",
		Args: arguments("a model (directory, bundled name, hf:owner/name) or a file", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if info, err := os.Stat(args[0]); err == nil && !info.IsDir() {
				in, err := tools.InspectFile(args[0], key)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(in)
				}
				return a.print(fileText(in))
			}
			if key != "" {
				return badUsage("--key is for a single file, %s is none", args[0])
			}
			m, err := a.open(cmd, args[0])
			if err != nil {
				return err
			}
			in := tools.Inspect(args[0], m)
			if a.json {
				return a.printJSON(in)
			}
			return a.print(inspectionText(in))
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "`entry` of a PyTorch checkpoint to list, such as model_ema")
	return cmd
}

func fileText(in tools.FileInspection) []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "file\t%s\nformat\t%s\nparameters\t%d\n", in.File, in.Format, in.Parameters)
	if len(in.Keys) > 0 {
		fmt.Fprintf(w, "entries\t%s (listed: %s)\n", strings.Join(in.Keys, ", "), in.Key)
	}
	w.Flush()
	if len(in.Globals) > 0 {
		fmt.Fprintf(&b, "\nPython would import and call these to read the file; here none was:\n")
		for _, g := range in.Globals {
			fmt.Fprintf(&b, "  %s\n", g)
		}
	}
	fmt.Fprintln(&b)
	for _, t := range in.Tensors {
		fmt.Fprintf(w, "%s\t%s\t%v\n", t.Name, t.Type, t.Shape)
	}
	w.Flush()
	return b.Bytes()
}

func inspectionText(in tools.Inspection) []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0) // writing to a buffer cannot fail
	fmt.Fprintf(w, "model\t%s\n", in.Model)
	fmt.Fprintf(w, "input\t%d × %d × %d (channels, height, width), patches of %d × %d: %d tokens, %d of them special\n",
		in.Channels, in.Height, in.Width, in.Patch, in.Patch, in.Tokens, in.Special)
	fmt.Fprintf(w, "network\t%d blocks, %d wide, %d heads, hidden %d, layer norm eps %g\n", in.Layers, in.Embed, in.Heads,
		in.Hidden, in.Eps)
	fmt.Fprintf(w, "classes\t%d\n", in.Classes)
	fmt.Fprintf(w, "parameters\t%d\n", in.Parameters)
	fmt.Fprintf(w, "MACs\t%.4g M an image when no token halts\n", float64(in.DenseMACs)/1e6)
	if h := in.Halting; h != nil {
		fmt.Fprintf(w, "halting\tscheme %s\n", h)
	} else {
		fmt.Fprintf(w, "halting\tnone: a dense model\n")
	}
	w.Flush()
	fmt.Fprintf(&b, "\n")
	for _, t := range in.Tensors {
		fmt.Fprintf(w, "%s\t%v\n", t.Name, t.Shape)
	}
	w.Flush()
	return b.Bytes()
}
