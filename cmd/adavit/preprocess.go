package main

import (
	"github.com/spf13/cobra"

	"github.com/adavit/adavit"
)

func (a *app) preprocess() *cobra.Command {
	var model, output string
	cmd := &cobra.Command{
		Use:   "preprocess --model DIR|NAME --output X.safetensors IMAGE…",
		Short: "Write pictures as the tensor that a model would be fed",
		Long: "Preprocess decodes, resizes, crops and normalises pictures (- is standard input) as the model's preprocessor_config.json says and writes them as\n" +
			"the tensor input [B,C,H,W] F32, in the order given: what predict reads. If any picture is bad, nothing is written.",
		Example: "  adavit preprocess --model fashion-adaptive --output x.safetensors shoe.png coat.jpg",
		Args:    arguments("an image file", 1, -1),
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := required(cmd, "model", "output"); err != nil {
				return err
			}
			m, err := adavit.Open(model)
			if err != nil {
				return err
			}
			written, err := adavit.PreprocessFiles(cmd.Context(), m, a.in, files, output, a.threads)
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
	return cmd
}
