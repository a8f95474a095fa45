package main

import (
	"cmp"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/train"
)

func (a *app) preprocess() *cobra.Command {
	var o adavit.FileOptions
	var model, output string
	cmd := &cobra.Command{
		Use:   "preprocess --model DIR|NAME --output X.safetensors [--list FILE] IMAGE…",
		Short: "Write pictures as the tensor that a model would be fed",
		Long: `Preprocess decodes, resizes, crops and normalises pictures as the model's preprocessor_config.json says and
writes them as the tensor input [B,C,H,W] F32, in the order given: what predict reads. If any picture is bad,
nothing is written.` + imageHelp,
		Example: `  adavit preprocess --model fashion-adaptive --output x.safetensors shoe.png coat.jpg`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.open(cmd.Context(), model)
			if err != nil {
				return err
			}
			files := picture.Files{Names: args, List: o.List, Stdin: o.Stdin, Decoding: o.Decoding}
			written, err := tools.Preprocess(cmd.Context(), m, files, output, a.threads)
			if err != nil {
				return err
			}
			return a.show(written, "")
		},
	}
	f := cmd.Flags()
	f.StringVar(&model, "model", "", modelUsage)
	f.StringVar(&output, "output", "", "safetensors `file` to write")
	a.imageFlags(cmd, &o)
	return cmd
}

func (a *app) predict() *cobra.Command {
	var loss train.Loss
	var model, input, output string
	var gradients bool
	cmd := &cobra.Command{
		Use:   "predict --model DIR|NAME --input X.safetensors --output Y.safetensors",
		Short: "Run a model on tensors and write tensors, with gradients on request",
		Long: `Predict reads the tensor input [B,C,H,W] F32, already normalised as the model wants it, and writes logits
[B,classes], depth [B,N] I32, scores [L,B,N], active [L,B,N] U8 and rho [B,N]. Depths are the method's own: an image
does not stop when its class token halts. For parity's sake --precision auto is f32 here, whatever the model runs in
elsewhere.

With --gradients the input also holds labels [B] I32, and the output loss, loss_ce, loss_ponder, loss_prior and
grad.NAME for every tensor under its name in timm's layout, in evaluation mode.`,
		Example: `  adavit predict --model fashion-adaptive --input x.safetensors --output y.safetensors
  adavit predict --model DIR --input x.safetensors --output y.safetensors \
      --gradients --target-layer 7 --label-smoothing 0.1`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range []string{"alpha-ponder", "alpha-prior", "target-layer", "label-smoothing", "reverse-prior"} {
				if cmd.Flag(name).Changed && !gradients {
					return badUsage("--%s has no effect without --gradients", name)
				}
			}
			m, err := a.open(cmd.Context(), model)
			if err != nil {
				return err
			}
			a.caution(m, cmp.Or(a.precision, infer.F32))
			o := tools.PredictOptions{Threads: a.threads, Precision: a.precision}
			if gradients {
				if a.precision != infer.Auto && a.precision != infer.F32 {
					a.log.Warn("loss and gradients are float32's, whatever the precision of the rest")
				}
				if o.Loss = &loss; !cmd.Flag("target-layer").Changed {
					loss.TargetLayer = float64(m.Params.Config.Layers/2 + 1)
				}
			}
			written, err := tools.PredictFile(cmd.Context(), m, input, output, o)
			if err != nil {
				return err
			}
			return a.show(written, "")
		},
	}
	f := cmd.Flags()
	f.StringVar(&model, "model", "", modelUsage)
	f.StringVar(&input, "input", "", "safetensors `file` with the tensor input")
	f.StringVar(&output, "output", "", "safetensors `file` to write")
	f.BoolVar(&gradients, "gradients", false, "also the loss and its gradient with respect to every parameter")
	f.Float64Var(&loss.AlphaPonder, "alpha-ponder", 5e-4, "`weight` of the ponder cost")
	f.Float64Var(&loss.AlphaPrior, "alpha-prior", 0.1, "`weight` of the prior over layers")
	f.Float64Var(&loss.TargetLayer, "target-layer", 0,
		"centre of the prior, a `layer` counted from 1 (default: half of the layers, plus 1)")
	f.Float64Var(&loss.LabelSmoothing, "label-smoothing", 0, "`share` of the label that is spread over all classes")
	f.BoolVar(&loss.ReversePrior, "reverse-prior", false, "KL(target ‖ scores) in place of KL(scores ‖ target)")
	return cmd
}
