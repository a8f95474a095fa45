package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit"
)

// imageFlags are the flags of the commands that read image files.
type imageFlags struct {
	list, exif string
	maxPixels  int64
}

// imageHelp explains them.
const imageHelp = "\n\nIMAGE is a JPEG, PNG, GIF, WebP, BMP or TIFF file, whatever it is called; a directory, for " +
	"the images in it and\n" +
	"below it, sorted by path; a pattern such as 'photos/*.jpg' that the shell left alone; or -, an image on standard " +
	"input."

func (a *app) imageFlags(cmd *cobra.Command) *imageFlags {
	var i imageFlags
	f := cmd.Flags()
	f.StringVar(&i.list, "list", "", "`file` that lists more images, one a line; - is standard input")
	f.StringVar(&i.exif, "exif", "ignore",
		"`what` to do with an orientation in EXIF: ignore, as training usually does, or apply")
	f.Int64Var(&i.maxPixels, "max-pixels", 100_000_000, "refuse images of more than this `number` of pixels")
	return &i
}

// options checks the flags.
func (i *imageFlags) options(a *app, cmd *cobra.Command, args []string) (adavit.FileOptions, error) {
	o := adavit.FileOptions{List: i.list, Stdin: a.in}
	if len(args) == 0 && i.list == "" {
		return o, badUsage("missing argument: an image file")
	}
	switch i.exif {
	case "ignore":
	case "apply":
		o.Exif = true
	default:
		return o, badUsage("--exif is %q, want ignore or apply", i.exif)
	}
	o.MaxPixels = i.maxPixels
	return o, atLeastOne(cmd, "max-pixels")
}

// budgetFlag adds --budget.
func budgetFlag(cmd *cobra.Command, budget *string) {
	cmd.Flags().StringVar(budget, "budget", "",
		"`MEAN[,MAX]`: shares of the dense model's token-blocks, above 0 to 1, to aim at on "+
			"the average (from the model's ladder of budgets; 0: not) and never to exceed")
}

// parseBudget reads MEAN[,MAX].
func parseBudget(text string) (b adavit.Budget, err error) {
	if text == "" {
		return b, nil
	}
	mean, most, capped := strings.Cut(text, ",")
	if b.Mean, err = strconv.ParseFloat(strings.TrimSpace(mean), 64); err == nil && capped {
		b.Max, err = strconv.ParseFloat(strings.TrimSpace(most), 64)
	}
	if err != nil || !(b.Mean >= 0 && b.Mean <= 1 && b.Max >= 0 && b.Max <= 1) || b == (adavit.Budget{}) {
		return b, badUsage("--budget is %q, want MEAN or MEAN,MAX, shares above 0 to 1 (a mean of 0 aims at none)", text)
	}
	return b, nil
}
