package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
)

func (a *app) bench() *cobra.Command {
	var o tools.BenchOptions
	var variants, models []string
	var threads, batches []int
	load := loadFlags{set: pflag.NewFlagSet("", pflag.ContinueOnError)}
	cmd := &cobra.Command{
		Use:   "bench [--variant V | --model DIR|NAME | --url URL]",
		Short: "Measure throughput on random input, or a server under load",
		Long: `Bench runs an architecture with random weights, or a model, on random input. It reports images a second,
how long a batch takes (median and 99th percentile), and the rate of arithmetic that was really performed beside the
FMA rate of the same cores measured in the same run.

--active fixes the share of patch tokens that run in each block, whatever they hold: what is left out shows what
token removal gains. With fewer images in a batch than threads, all threads share each image. Lists of variants,
models, threads or batches are measured one after the other.

With --url it is a load generator for a server ('adavit serve'). Requests are sent by a schedule, whatever becomes
of those before, and latency counts from the time when a request was to be sent; so a server that stalls is charged
with all that would have come meanwhile. --rate gives requests a second, or with --find-capacity multiples of what
the server answers at most; without either, it looks for the capacity and then loads half, 0.8 and all of it.
Latencies are those of requests that the server took on: successes, and those whose answer did not come in time,
counted as long as they were waited for. Other servers will do that answer the same requests.`,
		Example: `  adavit bench --variant deit-small --threads 1,2
  adavit bench --variant deit-tiny --batch 8 --json \
      --active 1,0.9,0.8,0.7,0.6,0.5,0.4,0.3,0.3,0.2,0.2,0.1
  adavit bench --url http://localhost:8080 --rate 50,100,200 --slo 100ms
  adavit bench --url http://localhost:8080 --find-capacity --rate 0.5,0.8,1.2 --images photos/ \
      --out latency.svg`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := load.alone(cmd); err != nil {
				return err
			}
			if load.o.URL != "" {
				if len(batches) != 1 || batches[0] < 1 {
					return badUsage("--url takes one --batch of 1 or more")
				}
				load.o.Batch = batches[0]
				return a.loadTest(cmd.Context(), &load, models)
			}
			for _, n := range slices.Concat(threads, batches) {
				if n < 1 {
					return badUsage("--threads and --batch want numbers of 1 or more, not %d", n)
				}
			}
			if len(variants)+len(models) == 0 {
				variants = []string{"deit-small"}
			}
			if len(threads) == 0 {
				threads = []int{0}
			}
			for _, name := range variants { // better now than after the work
				if _, err := vit.Variant(name); err != nil {
					return usage.Wrap(err)
				}
			}
			var results []tools.BenchResult
			o.Precision = a.precision
			for i, name := range slices.Concat(variants, models) {
				o.Model, o.Random = name, i < len(variants)
				for _, o.Threads = range threads {
					for _, o.Batch = range batches {
						r, err := tools.Bench(cmd.Context(), o)
						if err != nil {
							if len(results) > 0 { // what was measured so far
								err = errors.Join(a.show(map[string]any{"results": results}, benchText(results)), err)
							}
							return err
						}
						results = append(results, r)
					}
				}
			}
			if len(results) == 1 {
				return a.show(results[0], benchText(results))
			}
			return a.show(map[string]any{"results": results}, benchText(results))
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&variants, "variant", nil, "`architecture` with random weights (default deit-small)")
	f.StringSliceVar(&models, "model", nil, modelUsage)
	f.IntSliceVar(&threads, "threads", nil, "`number` of threads (default: the CPUs that the process may use)")
	f.IntSliceVar(&batches, "batch", []int{1}, "`images` in a batch, or with --url --api v2 in a request")
	f.Float64SliceVar(&o.Active, "active", nil, "`share` of patch tokens that run in each block, falling; the last "+
		"one is that of all further blocks")
	f.Lookup("active").DefValue = "" // "[]" would say nothing
	f.BoolVar(&o.Profile, "profile", false, "print where the time goes, block by block")
	f.Float64Var(&o.Seconds, "seconds", 3, "`time` to measure, after a warm-up")
	load.define()
	f.AddFlagSet(load.set)
	return cmd
}

func benchText(results []tools.BenchResult) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight) // writing to memory cannot fail
	fmt.Fprintln(w, "what\tprecision\tthreads\tbatch\timages/s\tp50 ms\tp99 ms\t"+
		"MMACs/image\tof dense\tGFLOP/s\tpeak\tof peak\tMB held\t")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%.4g\t%.4g\t%.4g\t", r.Model, r.Precision, r.Threads, r.Batch,
			r.ImagesPerSecond, r.P50, r.P99)
		fmt.Fprintf(w, "%.4g\t%.0f %%\t%.0f\t%.0f\t%.0f %%\t%.1f\t\n", r.MACs/1e6, 100*r.MACs/r.DenseMACs,
			r.GFLOPS, r.PeakGFLOPS, 100*r.GFLOPS/r.PeakGFLOPS, float64(r.BytesHeld)/1e6)
	}
	w.Flush()
	for _, r := range results {
		if r.Speedup > 0 {
			fmt.Fprintf(&b, "%s, %d threads: %.2f × the dense model's %.4g images/s (taking turns with it); "+
				"MACs promise %.2f ×, so %.0f %% of the saving is there\n",
				r.Model, r.Threads, r.Speedup, r.DenseImagesPerSecond, r.MACsSpeedup, 100*r.Speedup/r.MACsSpeedup)
		}
	}
	for _, r := range results {
		if r.Profile != nil {
			profileText(&b, r)
		}
	}
	return b.String()
}

// profileText prints where the time of an image goes: a line for each block, a column for each activity.
func profileText(b io.Writer, r tools.BenchResult) {
	fmt.Fprintf(b, "\n%s, %s, %d threads, batch %d: milliseconds an image (summed over threads)\n",
		r.Model, r.Precision, r.Threads, r.Batch)
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "block\t")
	for a := range infer.Activities {
		fmt.Fprintf(w, "%s\t", a)
	}
	fmt.Fprintln(w, "all\t")
	line := func(name string, ms map[string]float64) {
		fmt.Fprintf(w, "%s\t", name)
		all := 0.0
		for a := range infer.Activities {
			v := ms[a.String()]
			if all += v; v != 0 {
				fmt.Fprintf(w, "%.3f", v)
			}
			fmt.Fprint(w, "\t")
		}
		fmt.Fprintf(w, "%.3f\t\n", all)
	}
	sum := make(map[string]float64)
	for _, block := range r.Profile {
		for a, ms := range block.Milliseconds {
			sum[a] += ms
		}
		if block.Block > 0 {
			line(fmt.Sprint(block.Block), block.Milliseconds)
		}
	}
	line("outside", r.Profile[0].Milliseconds)
	line("all", sum)
	w.Flush()
}
