package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/eval"
)

func (a *app) eval() *cobra.Command {
	var model, set, budget string
	var limit int
	cmd := &cobra.Command{
		Use:   "eval --model DIR|NAME --data SET",
		Short: "Measure a model's accuracy, depth, work and speed on a data set",
		Long: "Eval runs a model over the test part of a data set. Images a second are counted from the data set's bytes " +
			"to the logits, decoding and\n" +
			"normalising included. MACs are multiply-accumulates of the tokens that ran.",
		Example: "  adavit eval --model fashion-adaptive --data fashion-mnist\n  adavit eval --model my-model --data " +
			"folder-of-classes --limit 1000 --json",
		Args: arguments("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "model", "data"); err != nil {
				return err
			}
			if err := atLeastOne(cmd, "limit"); err != nil {
				return err
			}
			b, err := parseBudget(budget)
			if err != nil {
				return err
			}
			m, err := a.open(cmd, model)
			if err != nil {
				return err
			}
			d, err := datasets.Open(set, data.Test, a.log)
			if err != nil {
				return err
			}
			bar := a.progress("images")
			defer bar.end()
			ev, err := eval.Run(cmd.Context(), m, d, eval.Options{Name: model, Limit: limit, Threads: a.threads,
				Precision: a.precision, Progress: bar.update, Budget: b})
			if err != nil {
				return err
			}
			bar.end()
			if a.json {
				return a.printJSON(ev)
			}
			return a.print(fmt.Appendf(nil,
				"model        %s\nimages       %d\ntop-1        %.2f %%\ntop-5        %.2f %%\nmean depth   %.2f of %d blocks\n"+
					"MACs         %.4g M an image, %.4g M dense (%.0f %%)\nspeed        %.0f images/s, %d threads, %s\n",
				ev.Model, ev.Images, ev.Top1, ev.Top5, ev.MeanDepth, m.Params.Config.Layers,
				ev.MACs/1e6, ev.DenseMACs/1e6, 100*ev.MACs/ev.DenseMACs, ev.ImagesPerSecond, ev.Threads, ev.Precision))
		},
	}
	f := cmd.Flags()
	budgetFlag(cmd, &budget)
	f.StringVar(&model, "model", "", "model `directory` or bundled name")
	f.StringVar(&set, "data", "", dataUsage)
	f.IntVar(&limit, "limit", 0, "use the first so `many` images only")
	return cmd
}
