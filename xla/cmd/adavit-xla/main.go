// Adavit-xla trains and measures adavit's models on GPUs, TPUs or several devices, through GoMLX and XLA. Recipes, data
// sets, logs, checkpoints and models are adavit's own: what one program began the other goes on with.
//
//	adavit-xla train --recipe NAME|FILE --data SET --out DIR [--devices N] [--precision bf16] [--remat] [--buckets N]
//	adavit-xla eval --model DIR|NAME --data SET [--devices N] [--precision bf16]
//	adavit-xla bench [--variant V] [--mode dense|masked|buckets] [--devices N] [--precision bf16]
//
// The exit status is 0 when all was done, 1 when something failed, and 2 when the command line was wrong.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/xla"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// app is what both commands share.
type app struct {
	out io.Writer
	log *slog.Logger

	plugin    string
	devices   int
	precision string
	threads   int
	json      bool
	options   xla.Options
}

// run is the whole program. It returns the exit status.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	a := &app{out: out, log: slog.New(slog.NewTextHandler(errs, nil))}
	root := &cobra.Command{Use: "adavit-xla", Short: "Train and measure adavit's models through XLA", SilenceErrors: true,
		SilenceUsage: true, RunE: func(*cobra.Command, []string) error {
			return usage.Errorf("no command given; there are train, eval and bench")
		}}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage.Wrap(err) })
	f := root.PersistentFlags()
	f.StringVar(&a.plugin, "plugin", "", "PJRT plugin's `file` (default: $"+xla.PluginVariable+")")
	f.IntVar(&a.devices, "devices", 1, "`number` of devices that each batch is divided among")
	f.StringVar(&a.precision, "precision", "f32", "`kind` of products: f32 or bf16; weights are float32 in both")
	f.IntVar(&a.threads, "threads", 0, "`number` of threads that prepare pictures (default: the CPUs that there are)")
	f.BoolVar(&a.json, "json", false, "print one JSON object")
	root.AddCommand(a.train(), a.eval(), a.bench())
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(errs, "%s: %s\n", cmd.CommandPath(), strings.ReplaceAll(err.Error(), context.Canceled.Error(),
		"interrupted"))
	if errors.Is(err, adavit.ErrUsage) {
		fmt.Fprintf(errs, "Run '%s --help' for usage.\n", cmd.CommandPath())
		return 2
	}
	return 1
}

// open opens the devices that the flags ask for.
func (a *app) open() (*xla.Devices, error) {
	switch a.precision {
	case "f32":
	case "bf16":
		a.options.BF16 = true
	default:
		return nil, usage.Errorf("--precision is %q, want f32 or bf16", a.precision)
	}
	if a.devices < 1 || a.threads < 0 || a.options.Buckets < 0 {
		return nil, usage.Errorf("--devices, --threads and --buckets are counts")
	}
	return xla.Open(a.plugin, a.devices)
}

// show prints a result: v as JSON with --json, else text.
func (a *app) show(v any, text string) error {
	if a.json {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		text = string(b) + "\n"
	}
	_, err := io.WriteString(a.out, text)
	return err
}

func (a *app) train() *cobra.Command {
	o := trainer.Options{Log: a.log}
	var recipe string
	var overrides []string
	cmd := &cobra.Command{
		Use:   "train --recipe NAME|FILE --data SET --out DIR",
		Short: "Train a model",
		Long: `Train runs a recipe as adavit train does and leaves the same folder. With --resume it also goes on with a run
that adavit train began, and adavit train with one of its.`,
		Example: `  adavit-xla train --recipe fashion-adaptive --data fashion-mnist --out my-model
  adavit-xla train --recipe imagenet-adaptive --data imagenet --out deit-adaptive --devices 4 --precision bf16`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if recipe == "" || o.DataName == "" || o.Dir == "" {
				return usage.Errorf("--recipe, --data and --out are needed")
			}
			if o.Recipe, err = trainer.LoadRecipe(recipe, overrides); err != nil {
				return err
			}
			d, err := a.open()
			if err != nil {
				return err
			}
			defer d.Close()
			o.Threads, o.Progress = a.threads, a.progress()
			o.Backend = func(p *vit.Params, s train.Settings, threads int) (trainer.Backend, error) {
				with := a.options
				with.Threads = threads
				return xla.NewStepper(d, p, s, with)
			}
			r, err := tools.Train(cmd.Context(), o, infer.Auto)
			if err != nil {
				return err
			}
			text := fmt.Sprintf("model in %s after %d epochs (%d steps)", r.Dir, r.Epochs, r.Steps)
			if r.Test != nil {
				text += fmt.Sprintf(": top-1 %.2f %% of %d test images, mean depth %.2f", r.Test.Top1, r.Test.Images,
					r.Test.MeanDepth)
			}
			return a.show(r, text+"\n")
		},
	}
	f := cmd.Flags()
	f.StringVar(&recipe, "recipe", "", "bundled recipe's `name`, or a file")
	f.StringVar(&o.DataName, "data", "", "data `set`, as adavit train has it")
	f.StringVar(&o.Dir, "out", "", "`folder` that becomes the model's directory")
	f.StringVar(&o.InitName, "init", "", "`model` to start from (default: the recipe's)")
	f.BoolVar(&o.NewHead, "new-head", false, "give the model to start from a fresh head for the data's classes")
	f.IntVar(&o.Workers, "workers", 0, "`number` of images decoded and augmented at a time (default: as many as threads)")
	f.BoolVar(&o.Resume, "resume", false, "go on from the newest checkpoint in --out, or start if there is none")
	f.StringArrayVar(&overrides, "set", nil, "override a recipe's value, as `KEY=VALUE`; may be repeated")
	f.BoolVar(&a.options.Remat, "remat", false, "compute blocks again in the backward pass: less memory, more time")
	f.IntVar(&a.options.Buckets, "buckets", 0,
		"`number` of sizes that the rows that still run are gathered to (default: all rows run, masked)")
	return cmd
}

// progress tells the log now and then how a run goes.
func (a *app) progress() func(trainer.Progress) {
	last := time.Now()
	return func(p trainer.Progress) {
		if time.Since(last) < 30*time.Second && p.Step < p.Steps {
			return
		}
		last = time.Now()
		a.log.Info("training", "epoch", fmt.Sprintf("%d/%d", p.Epoch, p.Epochs), "step",
			fmt.Sprintf("%d/%d", p.Step, p.Steps), "loss", fmt.Sprintf("%.4f", p.Stats.Loss), "mean_depth",
			fmt.Sprintf("%.2f", p.Stats.MeanDepth), "images_per_second", fmt.Sprintf("%.0f", p.Rate))
	}
}

func (a *app) eval() *cobra.Command {
	o := tools.EvalOptions{Log: a.log, Damaged: trainer.DefaultRecipe().Damaged}
	cmd := &cobra.Command{
		Use:   "eval --model DIR|NAME --data SET",
		Short: "Measure a model's accuracy, depth, work and speed on a data set",
		Long: `Eval measures as adavit eval does. Every token runs in every block here; depths and MACs are those of the
tokens that had not halted.`,
		Example: `  adavit-xla eval --model fashion-adaptive --data fashion-mnist --batch 250`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Name == "" || o.Data == "" {
				return usage.Errorf("--model and --data are needed")
			}
			if o.Limit < 0 || o.Slice < 1 {
				return usage.Errorf("--limit and --batch are counts")
			}
			d, err := a.open()
			if err != nil {
				return err
			}
			defer d.Close()
			m, err := adavit.OpenContext(cmd.Context(), o.Name, adavit.OpenOptions{Log: a.log})
			if err != nil {
				return err
			}
			o.Threads, o.Precision = a.threads, infer.F32
			if a.options.BF16 {
				o.Precision = infer.BF16
			}
			o.Engine = func(m *vit.Model) (eval.Engine, error) { return xla.NewRunner(d, m, o.Slice, a.options) }
			r, err := tools.Eval(cmd.Context(), m, o)
			if err != nil {
				return err
			}
			return a.show(r, fmt.Sprintf("%s: %d images, top-1 %.2f %%, top-5 %.2f %%, mean depth %.2f, %.4g M MACs an image, "+
				"%.0f images/s on %d devices in %s\n", r.Model, r.Images, r.Top1, r.Top5, r.MeanDepth, r.MACs/1e6,
				r.ImagesPerSecond, d.Count(), r.Precision))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Name, "model", "", "model `directory` or bundled name")
	f.StringVar(&o.Data, "data", "", "data `set`, as adavit eval has it")
	f.IntVar(&o.Limit, "limit", 0, "use the first so `many` images only")
	f.IntVar(&o.Slice, "batch", 128, "`number` of images that run at a time")
	return cmd
}
