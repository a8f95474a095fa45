package main

import (
	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/picture"
	"github.com/spf13/cobra"
)

func (a *app) preprocess() *cobra.Command {
	var model, output string
	var images *imageFlags
	cmd := &cobra.Command{
		Use:   "preprocess --model DIR|NAME --output X.safetensors [--list FILE] IMAGE…",
		Short: "Write pictures as the tensor that a model would be fed",
		Long: "Preprocess decodes, resizes, crops and normalises pictures as the model's preprocessor_config.json says " +
			"and writes them as\n" +
			"the tensor input [B,C,H,W] F32, in the order given: what predict reads. If any picture is bad, nothing is written." + imageHelp,
		Example: "  adavit preprocess --model fashion-adaptive --output x.safetensors shoe.png coat.jpg",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "model", "output"); err != nil {
				return err
			}
			o, err := images.options(a, cmd, args)
			if err != nil {
				return err
			}
			files := picture.Files{Names: args, List: o.List, Stdin: o.Stdin, Decoding: o.Decoding}
			m, err := a.open(cmd, model)
			if err != nil {
				return err
			}
			written, err := tools.Preprocess(cmd.Context(), m, files, output, a.threads)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(written)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&model, "model", "", "model `directory` or bundled name")
	f.StringVar(&output, "output", "", "safetensors `file` to write")
	images = a.imageFlags(cmd)
	return cmd
}
