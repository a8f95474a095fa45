package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/internal/tools"
)

func (a *app) calibrate() *cobra.Command {
	o := tools.CalibrateOptions{Log: a.log, Contents: a.contents}
	var budgets string
	cmd := &cobra.Command{
		Use:   "calibrate --model DIR --data SET",
		Short: "Measure a model's ladder of budgets, for --budget",
		Long: `Calibrate finds, for each of some shares of the dense model's work, the constants of the model's halting
scheme by which an image costs that much on the average, and keeps the most accurate where there are several ways. What
it measures goes into budgets.json beside the weights: constants, mean and 95th percentile of token-blocks, MACs, top-1,
agreement with the model as it stands, and the time of an image that runs alone. A ladder that is there already is
replaced. From then on classify and eval take a mean in --budget.

The images are those that training holds out, or, of a data set without parts, all. Test images are refused: they would
be no test of what they have chosen. Where none of the data's classes is the model's, what the model says as it stands
is held to be right. A budget that the scheme cannot reach is left out, and rungs are added where the cost between two
is not linear in the constants.`,
		Example: `  adavit convert fashion-adaptive my-model    # a bundled model cannot be written to
  adavit calibrate --model my-model --data fashion-mnist
  adavit calibrate --model my-model --data photos --budgets 0.3,0.5,0.8 --limit 500 --json
  adavit classify --model my-model --budget 0.45 photo.jpg`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flag("budgets").Changed {
				for text := range strings.SplitSeq(budgets, ",") {
					share, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
					if err != nil {
						return badUsage("--budgets is %q, want shares with commas between them, such as 0.3,0.5", budgets)
					}
					o.Budgets = append(o.Budgets, share)
				}
			}
			a.bar.start("images")
			o.Threads, o.Precision, o.Progress = a.threads, a.precision, a.bar.update
			r, err := tools.Calibrate(cmd.Context(), o)
			if err != nil {
				return aboutClasses(err)
			}
			return a.show(r, fmt.Sprintf("%s\n%d images of %s (%s), %s; an image alone took so long on %s\n"+
				"The ladder is in %s\n", tableText(r.Table()), r.Images, r.Data, r.Part, r.Precision, r.Machine, r.Stored))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Model, "model", "", "model `directory`")
	f.StringVar(&o.Data, "data", "", dataUsage)
	unknownClasses(f, &o.Unknown)
	f.StringVar(&o.Part, "part", "",
		"`part` of the data: validation or train (default: validation, or all where there are no parts)")
	f.StringVar(&budgets, "budgets", "", "`list` of shares of the dense model's token-blocks "+
		"(default: 0.25,0.3,0.35,0.4 and 0.5 to 1)")
	decodingFlags(cmd, &o.Decoding)
	f.IntVar(&o.Limit, "limit", eval.CalibrationImages, "use so `many` images at most, spread over the part")
	return cmd
}
