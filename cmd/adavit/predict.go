package main

import (
	"github.com/adavit/adavit/internal/tools"
	"github.com/spf13/cobra"
)

func (a *app) predict() *cobra.Command {
	var model, input, output string
	var gradients, reverse bool
	var ponder, prior, target, smoothing float64
	cmd := &cobra.Command{
		Use:   "predict --model DIR|NAME --input X.safetensors --output Y.safetensors",
		Short: "Run a model on tensors and write tensors, with gradients on request",
		Long: "Predict reads `input` [B,C,H,W] F32, already normalised as the model wants it, and writes logits " +
			"[B,classes], depth [B,N] I32, scores [L,B,N],\n" +
			"active [L,B,N] U8 and rho [B,N]. Depths are the method's own: an image does not stop when its class token " +
			"halts.\n\n" +
			"With --gradients the input also holds `labels` [B] I32, and the output loss, loss_ce, loss_ponder, loss_prior " +
			"and grad.NAME for every tensor\n" +
			"under its name in timm's layout, in evaluation mode.",
		Example: "  adavit predict --model fashion-adaptive --input x.safetensors --output y.safetensors\n" +
			"  adavit predict --model DIR --input x.safetensors --output y.safetensors --gradients --target-layer 7 " +
			"--label-smoothing 0.1",
		Args: arguments("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "model", "input", "output"); err != nil {
				return err
			}
			for _, name := range []string{"alpha-ponder", "alpha-prior", "target-layer", "label-smoothing", "reverse-prior"} {
				if cmd.Flag(name).Changed && !gradients {
					return badUsage("--%s has no effect without --gradients", name)
				}
			}
			m, err := a.open(cmd, model)
			if err != nil {
				return err
			}
			o := tools.PredictOptions{Threads: a.threads}
			if cmd.Flag("precision").Changed {
				o.Precision = a.precision
			}
			if gradients {
				loss := tools.DefaultLoss(m.Params.Config)
				loss.AlphaPonder, loss.AlphaPrior, loss.LabelSmoothing, loss.ReversePrior = ponder, prior, smoothing, reverse
				if cmd.Flag("target-layer").Changed {
					loss.TargetLayer = target
				}
				o.Loss = &loss
			}
			written, err := tools.PredictFile(cmd.Context(), m, input, output, o)
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
	f.StringVar(&input, "input", "", "safetensors `file` with the tensor input")
	f.StringVar(&output, "output", "", "safetensors `file` to write")
	f.BoolVar(&gradients, "gradients", false, "also the loss and its gradient with respect to every parameter")
	f.Float64Var(&ponder, "alpha-ponder", 5e-4, "`weight` of the ponder cost")
	f.Float64Var(&prior, "alpha-prior", 0.1, "`weight` of the prior over layers")
	f.Float64Var(&target, "target-layer", 0,
		"centre of the prior, a `layer` counted from 1 (default: half of the layers, plus 1)")
	f.Float64Var(&smoothing, "label-smoothing", 0, "`share` of the label that is spread over all classes")
	f.BoolVar(&reverse, "reverse-prior", false, "KL(target ‖ scores) in place of KL(scores ‖ target)")
	return cmd
}
