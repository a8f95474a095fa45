package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/trainer"
)

// dataUsage says what --data takes.
const dataUsage = "data `set`: fashion-mnist, fashion-mnist:DIR, a folder of IDX or CIFAR files or of one " +
	"sub-folder for each class, or tar files (shards-{000..012}.tar)"

func (a *app) train() *cobra.Command {
	var recipe, set, out, init string
	var resume, newHead bool
	var workers int
	var overrides []string
	cmd := &cobra.Command{
		Use:   "train --recipe NAME|FILE --data SET --out DIR",
		Short: "Train a model",
		Long: "Train runs a recipe and leaves a model directory, with the run's logs (log.jsonl, steps.jsonl, " +
			"tensorboard/, report.html) and checkpoints beside the\n" +
			"model. Interrupted (Ctrl-C, SIGTERM), it saves a checkpoint first; the same command with --resume goes on from " +
			"there, also after a kill or a crash, and ends\n" +
			"with the bits of an undisturbed run. The result does not depend on the number of threads.",
		Example: "  adavit train --recipe fashion-dense --data fashion-mnist --out my-model\n" +
			"  adavit train --recipe fashion-adaptive --data fashion-mnist --init my-model --out my-adaptive --set epochs=5 " +
			"--set seed=2\n" +
			"  adavit train --recipe finetune-dense --data photos --new-head --out photos-dense --set validation=0.1\n" +
			"  adavit train --recipe my.json --data photos --init hf:facebook/deit-tiny-patch16-224 --new-head --out " +
			"photos-model",
		Args: arguments("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "recipe", "data", "out"); err != nil {
				return err
			}
			if err := atLeastOne(cmd, "workers"); err != nil {
				return err
			}
			r, err := trainer.LoadRecipe(recipe, overrides)
			if err != nil {
				return err
			}
			if err := a.fetch(cmd, init); err != nil {
				return err
			}
			w := a.watch()
			defer w.bar.end()
			summary, err := tools.Train(cmd.Context(), trainer.Options{Recipe: r, DataName: set, Dir: out, InitName: init,
				NewHead: newHead, Resume: resume, Threads: a.threads, Workers: workers, Log: a.log, Progress: w.step},
				a.precision)
			if err != nil {
				return advice(err)
			}
			w.bar.end()
			if a.json {
				return a.printJSON(summary)
			}
			return a.print(fmt.Appendf(nil,
				"model in %s after %d epochs (%d steps): top-1 %.2f %% of %d test images, mean depth %.2f\n",
				summary.Dir, summary.Epochs, summary.Steps, summary.Test.Top1, summary.Test.Images, summary.Test.MeanDepth))
		},
	}
	f := cmd.Flags()
	f.StringVar(&recipe, "recipe", "", "bundled recipe's `name`, or a file")
	f.StringVar(&set, "data", "", dataUsage)
	f.StringVar(&out, "out", "", "`folder` that becomes the model's directory")
	f.StringVar(&init, "init", "", "`model` to start from, a directory or a bundled name (default: the recipe's)")
	f.BoolVar(&newHead, "new-head", false, "give the model to start from a fresh head for the data's classes")
	f.IntVar(&workers, "workers", 0, "`number` of images decoded and augmented at a time (default: as many as threads)")
	f.BoolVar(&resume, "resume", false, "go on from the newest checkpoint in --out, or start if there is none")
	f.StringArrayVar(&overrides, "set", nil, "override a recipe's value, as `KEY=VALUE`; may be repeated")
	return cmd
}

// advice adds to an error of training which flag helps.
func advice(err error) error {
	notFinite := new(train.NotFiniteError)
	switch {
	case errors.Is(err, trainer.ErrInterrupted):
		return fmt.Errorf("%w, the same command with --resume goes on from it", err)
	case errors.Is(err, trainer.ErrNotEmpty):
		return fmt.Errorf("%w, or --resume to go on with it", err)
	case errors.Is(err, trainer.ErrClasses):
		return fmt.Errorf("%w: --new-head gives it one", err)
	case errors.Is(err, trainer.ErrNoStart):
		return badUsage("%w: --init names a model", err)
	case errors.As(err, &notFinite):
		return fmt.Errorf("%w (--resume --set lr=…)", err)
	}
	return err
}

// watch reports a training run: by a bar on a terminal, else by a line of log now and then.
type watch struct {
	app  *app
	bar  *progress
	last time.Time
}

func (a *app) watch() *watch { return &watch{app: a, bar: a.progress("steps"), last: time.Now()} }

func (w *watch) step(p trainer.Progress) {
	const pause = 30 * time.Second
	w.bar.describe(fmt.Sprintf("epoch %d/%d, loss %.3f, %.0f images/s", p.Epoch, p.Epochs, p.Stats.Loss, p.Rate))
	w.bar.update(p.Step, p.Steps)
	if w.bar.err == nil && (time.Since(w.last) >= pause || p.Step == p.Steps) {
		w.last = time.Now()
		w.app.log.Info("training", "epoch", fmt.Sprintf("%d/%d", p.Epoch, p.Epochs), "step",
			fmt.Sprintf("%d/%d", p.Step, p.Steps), "loss", fmt.Sprintf("%.4f", p.Stats.Loss),
			"mean_depth", fmt.Sprintf("%.2f", p.Stats.MeanDepth), "images_per_second", fmt.Sprintf("%.0f", p.Rate),
			"left", time.Second*time.Duration(min(float64((p.Steps-p.Step)*p.Batch)/max(p.Rate, 1e-9), 1e9)))
	}
}
