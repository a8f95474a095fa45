package main

import (
	"bytes"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/tools"
)

func (a *app) bench() *cobra.Command {
	var variants, models []string
	var threads, batches []int
	var active []float64
	var seconds float64
	var profile bool
	cmd := &cobra.Command{
		Use:   "bench [--variant V | --model DIR|NAME]",
		Short: "Measure throughput on random input",
		Long: "Bench runs an architecture with random weights, or a model, on random input. It reports images a second, " +
			"how long a batch takes (median and\n" +
			"99th percentile), and the rate of arithmetic that was really performed beside the FMA rate of the same cores " +
			"measured in the same run.\n\n" +
			"--active fixes the share of patch tokens that run in each block, whatever they hold: what is left out shows " +
			"what token removal gains.\n" +
			"With fewer images in a batch than threads, all threads share each image. Lists of variants, models, threads or " +
			"batches are\n" +
			"measured one after the other.",
		Example: "  adavit bench --variant deit-small --threads 1,2\n" +
			"  adavit bench --variant deit-tiny --batch 8 --active 1,0.9,0.8,0.7,0.6,0.5,0.4,0.3,0.3,0.2,0.2,0.1 --json",
		Args: arguments("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(variants) == 0 && len(models) == 0 {
				variants = []string{"deit-small"}
			}
			for _, n := range append(append([]int{}, threads...), batches...) {
				if n < 1 {
					return badUsage("--threads and --batch want numbers of 1 or more, not %d", n)
				}
			}
			if seconds <= 0 {
				return badUsage("--seconds is %v, want more than 0", seconds)
			}
			if len(threads) == 0 {
				threads = []int{0}
			}
			var results []tools.BenchResult
			for _, o := range subjects(variants, models) {
				for _, o.Threads = range threads {
					for _, o.Batch = range batches {
						o.Precision, o.Active, o.Seconds, o.Profile = a.precision, active, seconds, profile
						r, err := tools.Bench(cmd.Context(), o)
						if err != nil {
							return err
						}
						results = append(results, r)
					}
				}
			}
			switch {
			case a.json && len(results) == 1:
				return a.printJSON(results[0])
			case a.json:
				return a.printJSON(map[string]any{"results": results})
			}
			return a.print(benchText(results))
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&variants, "variant", nil, "`architecture` with random weights (default deit-small)")
	f.StringSliceVar(&models, "model", nil, "model `directory` or bundled name")
	f.IntSliceVar(&threads, "threads", nil, "`number` of threads (default: the CPUs that the process may use)")
	f.IntSliceVar(&batches, "batch", []int{1}, "`images` in a batch")
	f.Float64SliceVar(&active, "active", nil, "`share` of patch tokens that run in each block, falling")
	f.Lookup("active").DefValue = "" // "[]" would say nothing
	f.BoolVar(&profile, "profile", false, "print where the time goes, block by block")
	f.Float64Var(&seconds, "seconds", 3, "`time` to measure, after a warm-up")
	return cmd
}

// subjects lists what is to be measured.
func subjects(variants, models []string) []tools.BenchOptions {
	var list []tools.BenchOptions
	for _, v := range variants {
		list = append(list, tools.BenchOptions{Variant: v})
	}
	for _, m := range models {
		list = append(list, tools.BenchOptions{Model: m})
	}
	return list
}

func benchText(results []tools.BenchResult) []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight) // writing to a buffer cannot fail
	fmt.Fprintf(w,
		"what\tprecision\tthreads\tbatch\timages/s\tp50 ms\tp99 ms\tMMACs/image\tof dense\tGFLOP/s\tpeak\tof peak\tMB "+
			"held\t\n")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%.4g\t%.4g\t%.4g\t%.4g\t%.0f %%\t%.0f\t%.0f\t%.0f %%\t%.1f\t\n", r.Model, r.Precision,
			r.Threads, r.Batch,
			r.ImagesPerSecond, r.P50, r.P99, r.MACs/1e6, 100*r.MACs/r.DenseMACs, r.GFLOPS, r.PeakGFLOPS,
			100*r.GFLOPS/r.PeakGFLOPS, float64(r.BytesHeld)/1e6)
	}
	w.Flush()
	for _, r := range results {
		if r.Speedup > 0 {
			fmt.Fprintf(&b,
				"%s, %d threads: %.2f × the dense model's %.4g images/s (taking turns with it); MACs promise %.2f ×, so %.0f %% "+
					"of the saving is there\n",
				r.Model, r.Threads, r.Speedup, r.DenseImagesPerSecond, r.MACsSpeedup, 100*r.Speedup/r.MACsSpeedup)
		}
	}
	for _, r := range results {
		if r.Profile != nil {
			profileText(&b, r)
		}
	}
	return b.Bytes()
}

// profileText prints where the time of an image goes: a line for each block, a column for each activity.
func profileText(b *bytes.Buffer, r tools.BenchResult) {
	fmt.Fprintf(b, "\n%s, %s, %d threads, batch %d: milliseconds an image (summed over threads)\n", r.Model, r.Precision,
		r.Threads, r.Batch)
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "block\t")
	for a := range infer.Activities {
		fmt.Fprintf(w, "%s\t", a)
	}
	fmt.Fprintf(w, "all\t\n")
	line := func(name string, ms func(a string) float64) {
		all := 0.0
		fmt.Fprintf(w, "%s\t", name)
		for a := range infer.Activities {
			v := ms(a.String())
			all += v
			if v == 0 {
				fmt.Fprintf(w, "\t")
			} else {
				fmt.Fprintf(w, "%.3f\t", v)
			}
		}
		fmt.Fprintf(w, "%.3f\t\n", all)
	}
	for _, block := range r.Profile[1:] {
		line(fmt.Sprint(block.Block), func(a string) float64 { return block.Milliseconds[a] })
	}
	line("outside", func(a string) float64 { return r.Profile[0].Milliseconds[a] })
	line("all", func(a string) (sum float64) {
		for _, block := range r.Profile {
			sum += block.Milliseconds[a]
		}
		return sum
	})
	w.Flush()
}
