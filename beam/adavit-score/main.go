// Adavit-score classifies very many pictures, on this machine or on a cluster. See README.md.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/x/beamx"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/beam/score"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // there is much to mark that is Beam's own, so half as often is worth its memory
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	o, err := parse(flag.CommandLine, os.Args[1:])
	if err == nil {
		if isWorker() {
			tidyWorker()
		}
		beam.Init() // a worker stays in there
		if err = o.Check(); err == nil {
			err = checkRunner(*runners.Runner, isSet("dry_run"))
		}
	}
	if err == nil {
		if !o.verbose && !dry() {
			silence()
		}
		err = tidily(func() error { return run(ctx, o, os.Stdout) })
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(help)
		flag.CommandLine.SetOutput(os.Stdout)
		flag.PrintDefaults()
	case errors.Is(err, adavit.ErrUsage):
		fmt.Fprintf(os.Stderr, "adavit-score: %v\nRun 'adavit-score --help' for usage.\n", err)
		os.Exit(2)
	case err != nil:
		what := err.Error()
		if _, cause, ok := strings.Cut(what, "caused by:"); ok && !o.verbose {
			what = "the job has failed:" + cause // without the plan of the stage
		}
		fmt.Fprintf(os.Stderr, "adavit-score: %s\n", what)
		os.Exit(1)
	}
}

// options are a job's, and how much is said of it.
type options struct {
	score.Options
	verbose bool
}

// names are the values of a flag that may come several times.
type names []string

func (n *names) String() string { return strings.Join(*n, " ") }

func (n *names) Set(name string) error {
	*n = append(*n, name)
	return nil
}

// parse reads the command line. Beam adds flags of its own to flag.CommandLine.
func parse(f *flag.FlagSet, args []string) (o options, err error) {
	var budget, precision, exif string
	f.Var((*names)(&o.Inputs), "input", "pictures and tar shards: a `name` or pattern, local, gs:// or s3://; "+
		"several times for more")
	f.Var((*names)(&o.Lists), "list", "`file` that lists names of more of them, one a line; several times for more")
	f.StringVar(&o.Output, "output", "", "`folder` for the results, local (one that all workers share), gs:// or s3://")
	f.StringVar(&o.Model, "model", "", "model: a bundled `name`, hf:owner/name, or a directory, local (on all workers), "+
		"gs:// or s3://")
	f.StringVar(&o.Format, "format", "parquet", "`kind` of the results' files: parquet or jsonl")
	f.IntVar(&o.Shards, "shards", 16, "`number` of files of results; a worker holds one in memory when it writes it")
	f.StringVar(&budget, "budget", "", "`MEAN[,MAX]`: shares of the dense model's token-blocks, as adavit classify "+
		"takes them")
	f.StringVar(&precision, "precision", "auto", "`kind` of arithmetic: f32, bf16, int8 or auto")
	f.IntVar(&o.Threads, "threads", 0, "`number` of threads of each worker process (default: its CPUs)")
	f.BoolVar(&o.Embeddings, "embeddings", false, "results have what the head reads, too: for most models the class "+
		"token's last value")
	f.StringVar(&exif, "exif", "", "`what` to do with an orientation in EXIF: apply or ignore (default: as the model's "+
		"library does)")
	f.Int64Var(&o.Decoding.MaxPixels, "max-pixels", 0, "refuse pictures of more than this `number` of pixels "+
		"(default: Pillow's limit)")
	f.BoolVar(&o.verbose, "verbose", false, "log what Beam and the runner say below warnings")
	f.Usage = func() {}
	f.Init("adavit-score", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return o, err
	} else if err != nil {
		return o, usage.Wrap(err)
	}
	o.Decoding.Exif = picture.Exif(exif)
	if o.Precision, err = infer.ParsePrecision(precision); err != nil {
		return o, usage.Wrap(err)
	}
	if budget != "" {
		if o.Budget, err = infer.ParseBudget(budget); err != nil {
			return o, usage.Errorf("--budget is %v", err)
		}
	}
	if isWorker() {
		return o, nil // it is told everything by the runner
	}
	switch {
	case f.NArg() > 0:
		return o, usage.Errorf("unexpected argument %q; inputs follow --input", f.Arg(0))
	case o.Model == "":
		return o, usage.Errorf("--model is missing")
	case o.Output == "":
		return o, usage.Errorf("--output is missing")
	}
	return o, nil
}

const help = `adavit-score --model M --input PATTERN --output DIR [--budget B] [--runner R …]

Classifies very many pictures with Apache Beam: on this machine (Prism, the default runner), or by --runner universal
(with --endpoint: Spark and Flink by their job servers), flink, spark or dataflow. Results are tables, results-*.parquet
or .jsonl, one row a picture, whatever the runner repeats; dead.jsonl says of pictures that could not be read or decoded
why; summary.json comes last and counts both. Flags below that are not explained in README.md are Beam's own.

`

// tidily calls f with a folder of this process alone for temporary files, of which Beam leaves some.
func tidily(f func() error) error {
	dir, err := os.MkdirTemp("", "adavit-score-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Setenv("TMPDIR", dir); err != nil {
		return err
	}
	return f()
}

// known are the runners that a job can be given to; Beam accepts others of its names as well, and ends without a word
// where it knows none.
var known = []string{"prism", "universal", "flink", "spark", "dataflow", "dot"}

// checkRunner reports a runner that there is not, or one that would run a job that was only to be shown.
func checkRunner(name string, dryRun bool) error {
	name = cmp.Or(name, known[0])
	if !slices.Contains(known, name) {
		return usage.Errorf("--runner is %q, want one of %s", name, strings.Join(known, ", "))
	}
	if dryRun && name != "dataflow" {
		return usage.Errorf("--dry_run is a flag of Dataflow's, and %s would run the job; --runner dot --dot_file FILE "+
			"draws any job", name)
	}
	return nil
}

// dry reports whether the runner only shows the job's graph, or keeps it for later.
func dry() bool {
	template := flag.Lookup("template_location")
	return *runners.Runner == "dot" || isSet("dry_run") || template != nil && template.Value.String() != ""
}

// run builds the job, runs it and prints what it has written.
func run(ctx context.Context, o options, out io.Writer) error {
	if !dry() { // sooner than on a worker
		if err := score.Empty(ctx, o.Output); err != nil {
			return err
		}
		if _, err := score.OpenModel(ctx, o.Model); err != nil {
			return err
		}
	}
	p, s := beam.NewPipelineWithRoot()
	score.Build(s, o.Options)
	result, err := beamx.RunWithMetrics(ctx, p)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil || dry() {
		return err
	}
	if isSet("async") {
		fmt.Fprintf(out, "submitted; %s will appear in %s when the job is done\n", score.SummaryFile, o.Output)
		return nil
	}
	if err := score.Clean(o.Output); err != nil {
		return err
	}
	summary, err := score.ReadSummary(ctx, o.Output)
	if err != nil {
		return fmt.Errorf("the job has ended without a summary: %w", err)
	}
	fmt.Fprintf(out, "%s: %d images classified, %d dead letters, in %d files\n", o.Output, summary.Images, summary.Dead,
		len(summary.Files))
	if done, dead, ok := attempts(result); ok && (done != int64(summary.Images) || dead != int64(summary.Dead)) {
		fmt.Fprintf(out, "The runner repeated some: it counts %d images and %d dead letters done. Each is written once.\n",
			done, dead)
	}
	return nil
}

// attempts are the counts of a runner that has them.
func attempts(r beam.PipelineResult) (images, dead int64, ok bool) {
	if r == nil {
		return 0, 0, false
	}
	for _, c := range r.Metrics().AllMetrics().Counters() {
		if n := max(c.Attempted, c.Committed); c.Name() == score.CountImages {
			images, ok = images+n, true
		} else if c.Name() == score.CountDead {
			dead += n
		}
	}
	return images, dead, ok
}
