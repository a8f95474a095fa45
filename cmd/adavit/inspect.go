package main

import (
	"bytes"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit"
)

func (a *app) inspect() *cobra.Command {
	return &cobra.Command{
		Use:     "inspect MODEL",
		Short:   "Describe a model: architecture, tensors, parameters, MACs, halting",
		Long:    "Inspect loads a model, which checks every tensor of it, and describes it. Tensors are listed under their names in timm's layout.",
		Example: "  adavit inspect fashion-adaptive\n  adavit inspect DIR --json",
		Args:    arguments("a model (directory or bundled name)", 1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := adavit.Open(args[0])
			if err != nil {
				return err
			}
			in := adavit.Inspect(args[0], m)
			if a.json {
				return a.printJSON(in)
			}
			return a.print(inspectionText(in))
		},
	}
}

func inspectionText(in adavit.Inspection) []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0) // writing to a buffer cannot fail
	fmt.Fprintf(w, "model\t%s\n", in.Model)
	fmt.Fprintf(w, "input\t%d × %d × %d (channels, height, width), patches of %d × %d: %d tokens with the class token\n",
		in.Channels, in.Height, in.Width, in.Patch, in.Patch, in.Tokens)
	fmt.Fprintf(w, "network\t%d blocks, %d wide, %d heads, hidden %d, layer norm eps %g\n", in.Layers, in.Embed, in.Heads, in.Hidden, in.Eps)
	fmt.Fprintf(w, "classes\t%d\n", in.Classes)
	fmt.Fprintf(w, "parameters\t%d\n", in.Parameters)
	fmt.Fprintf(w, "MACs\t%.4g M an image when no token halts\n", float64(in.DenseMACs)/1e6)
	if h := in.Halting; h != nil {
		fmt.Fprintf(w, "halting\tpolicy %s, gate scale %g, gate center %g, epsilon %g\n", h.Policy, h.GateScale, h.GateCenter, h.Epsilon)
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
