package main

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/report"
)

func (a *app) demo() *cobra.Command {
	var out string
	var limit int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the bundled models on the bundled images and show what they did",
		Long: "Demo needs no download and no flag. It runs the bundled dense and adaptive models over the 10 000 test " +
			"images of Fashion-MNIST, taking turns,\n" +
			"prints what each reached and at which cost, and writes a report with pictures: which parts of an image were " +
			"looked at for how long.",
		Example: "  adavit demo\n  adavit demo --out /tmp/report --threads 1",
		Args:    arguments("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "out"); err != nil {
				return err
			}
			if err := atLeastOne(cmd, "limit"); err != nil {
				return err
			}
			bar := a.progress("images")
			defer bar.end()
			r, err := tools.Demo(cmd.Context(), tools.DemoOptions{Dir: out, Limit: limit, Threads: a.threads,
				Precision: a.precision, Progress: bar.update})
			if err != nil {
				return err
			}
			bar.end()
			if a.json {
				return a.printJSON(r)
			}
			var b bytes.Buffer
			if err := report.Models(r.Rows).WriteText(&b); err != nil {
				return err
			}
			fmt.Fprintf(&b, "\nThe report with its pictures is in %s\n", r.Report)
			return a.print(b.Bytes())
		},
	}
	f := cmd.Flags()
	f.StringVar(&out, "out", "adavit-report", "`folder` for the report and the pictures")
	f.IntVar(&limit, "limit", 0, "use the first so `many` images only")
	return cmd
}
