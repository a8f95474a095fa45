package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit"
)

// classification is what classify --json prints.
type classification struct {
	Model  string              `json:"model"`
	Images []adavit.FileResult `json:"images"`
}

func (a *app) classify() *cobra.Command {
	var model string
	var images *imageFlags
	cmd := &cobra.Command{
		Use:   "classify --model DIR|NAME [--list FILE] IMAGE…",
		Short: "Say what is on pictures",
		Long: "Classify prints the five most probable classes of each picture, the token-blocks spent on it (one token in one block) and their share\n" +
			"of what a dense model spends, and the time from file to result. A picture that cannot be read is reported and the others go on; the exit\n" +
			"status is then 1." + imageHelp,
		Example: "  adavit classify --model fashion-adaptive shoe.png coat.jpg\n  adavit classify --model DIR --json - < photo.jpg\n" +
			"  find photos -name '*.jpg' -newer last | adavit classify --model DIR --list -",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "model"); err != nil {
				return err
			}
			files, err := images.files(a, cmd, args)
			if err != nil {
				return err
			}
			m, err := a.open(cmd, model)
			if err != nil {
				return err
			}
			c, err := adavit.New(m, adavit.Options{Threads: a.threads, Precision: a.precision})
			if err != nil {
				return err
			}
			defer c.Close()
			all, total := classification{Model: model}, 0
			failed, err := adavit.ClassifyFiles(cmd.Context(), c, files, func(r adavit.FileResult) error {
				total++
				if r.Error != "" {
					fmt.Fprintf(a.err, "%s: %s\n", cmd.CommandPath(), r.Error)
				}
				if a.json {
					all.Images = append(all.Images, r)
					return nil
				}
				return a.print(resultText(r))
			})
			if err != nil {
				return err
			}
			if a.json {
				if err := a.printJSON(all); err != nil {
					return err
				}
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d images could not be classified", failed, total)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&model, "model", "", "model `directory` or bundled name")
	images = a.imageFlags(cmd)
	return cmd
}

// resultText is one image's result for people; empty for a bad image.
func resultText(r adavit.FileResult) []byte {
	if r.Error != "" {
		return nil
	}
	b := fmt.Appendf(nil, "%s: %d token-blocks (%.0f %% of dense), %.1f ms\n", r.File, r.Tokens, 100*r.TokenShare, r.Milliseconds)
	for _, p := range r.Top {
		b = fmt.Appendf(b, "  %6.2f %%  %s\n", 100*p.Probability, p.Label)
	}
	return b
}
