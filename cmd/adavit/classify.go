package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit"
)

// classification is what classify --json prints.
type classification struct {
	Model  string           `json:"model"`
	Images []classifiedFile `json:"images"`
}

// classifiedFile is one picture in it.
type classifiedFile struct {
	File string `json:"file"`
	*adavit.Result
	Milliseconds float64 `json:"milliseconds,omitempty"` // decoding, resizing, and its share of the pass that it was in
	Error        string  `json:"error,omitempty"`        // why there is no result
}

func (a *app) classify() *cobra.Command {
	var model, budget string
	var images *imageFlags
	cmd := &cobra.Command{
		Use:   "classify --model DIR|NAME [--list FILE] IMAGE…",
		Short: "Say what is on pictures",
		Long: "Classify prints the five most probable classes of each picture, the token-blocks spent on it (one token in " +
			"one\n" +
			"block) and their share of what a dense model spends, and the time that it took. A picture that cannot be read is\n" +
			"reported and the others go on; the exit status is then 1." + imageHelp,
		Example: "  adavit classify --model fashion-adaptive shoe.png coat.jpg\n" +
			"  adavit classify --model DIR --json - < photo.jpg\n" +
			"  adavit classify --model DIR --budget 0,0.6 photos/    # at most 60 % of the dense model's work each\n" +
			"  find photos -name '*.jpg' -newer last | adavit classify --model DIR --list -",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := required(cmd, "model"); err != nil {
				return err
			}
			o, err := images.options(a, cmd, args)
			if err != nil {
				return err
			}
			if o.Budget, err = parseBudget(budget); err != nil {
				return err
			}
			m, err := a.open(cmd, model)
			if err != nil {
				return err
			}
			c, err := adavit.NewClassifier(m, adavit.Options{Threads: a.threads, Precision: a.precision})
			if err != nil {
				return err
			}
			defer c.Close()
			all := classification{Model: model, Images: []classifiedFile{}}
			total, failed := 0, 0
			for r, err := range c.Files(cmd.Context(), o, args...) {
				if err != nil && r.File == "" {
					return err
				}
				total++
				f := classifiedFile{File: r.File}
				if err != nil {
					failed++
					f.Error = err.Error()
					fmt.Fprintf(a.err, "%s: %v\n", cmd.CommandPath(), err)
				} else {
					f.Result, f.Milliseconds = &r.Result, float64(r.Took.Microseconds())/1000
				}
				if a.json {
					all.Images = append(all.Images, f)
				} else if err == nil {
					if err := a.print(f.text()); err != nil {
						return err
					}
				}
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
	budgetFlag(cmd, &budget)
	images = a.imageFlags(cmd)
	return cmd
}

// text is one picture's result for people.
func (f classifiedFile) text() []byte {
	b := fmt.Appendf(nil, "%s: %d token-blocks (%.0f %% of dense), %.1f ms\n", f.File, f.Tokens, 100*f.TokenShare,
		f.Milliseconds)
	for _, p := range f.Top {
		b = fmt.Appendf(b, "  %6.2f %%  %s\n", 100*p.Probability, p.Label)
	}
	return b
}
