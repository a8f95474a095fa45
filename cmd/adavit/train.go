package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
)

func (a *app) train() *cobra.Command {
	o := trainer.Options{Log: a.log, Contents: a.contents}
	var recipe string
	var overrides []string
	var decoding picture.Decoding
	cmd := &cobra.Command{
		Use:   "train --recipe NAME|FILE --data SET --out DIR",
		Short: "Train a model",
		Long: `Train runs a recipe and leaves a model directory, with the run's logs (log.jsonl, steps.jsonl,
tensorboard/, report.html) and checkpoints beside the model. Interrupted (Ctrl-C, SIGTERM), it saves a checkpoint
first; the same command with --resume goes on from there, also after a kill or a crash, and ends with the bits of an
undisturbed run. The result does not depend on the number of threads.

It computes in f32 or, with --precision bf16, with the products of the blocks in bfloat16: weights, gradients, the
optimizer and all that halts tokens stay in float32. That takes half the memory for activations and, on a CPU with the
instructions for it (AVX-512 BF16 or arm64's BF16; only the first has been timed), some 0.6 of the time. auto chooses
it there, and f32 elsewhere, unless the recipe has a "precision"; a run that is resumed goes on in the one that it began
in. Another one may be asked for then: the log says so, and checkpoints are float32 in both.

A folder's sub-folders train, val and test (or training, valid, validation, testing) are its parts, where they are not
classes among others: the validation images choose, the test images are only reported. What the data are is told first.
The classes of a model to start from, and of a teacher, are matched to the data's by their names.`,
		Example: `  adavit train --recipe fashion-dense --data fashion-mnist --out my-model
  adavit train --recipe fashion-adaptive --data fashion-mnist --init my-model --out my-adaptive \
      --set epochs=5 --set seed=2
  adavit train --recipe finetune-dense --data photos --new-head --out photos-dense \
      --set validation=0.1
  adavit train --recipe my.json --data photos --init hf:facebook/deit-tiny-patch16-224 \
      --new-head --out photos-model`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			overrides = append(overrides, decodingOverrides(decoding)...)
			if o.Recipe, err = trainer.LoadRecipe(recipe, overrides); err != nil {
				return err
			}
			if err := a.fetch(cmd.Context(), o.InitName); err != nil {
				return err
			}
			o.Threads, o.Progress = a.threads, a.training()
			r, err := tools.Train(cmd.Context(), o, a.precision)
			if err != nil {
				return advice(err)
			}
			figures, what := r.Test, "test"
			if figures == nil {
				figures, what = r.Validation, "validation"
			}
			text := fmt.Sprintf("model in %s after %d epochs (%d steps)", r.Dir, r.Epochs, r.Steps)
			if figures != nil {
				text += fmt.Sprintf(": top-1 %.2f %% of %d %s images, mean depth %.2f", figures.Top1, figures.Images, what,
					figures.MeanDepth)
			}
			return a.show(r, text+"\n")
		},
	}
	f := cmd.Flags()
	f.StringVar(&recipe, "recipe", "", "bundled recipe's `name`, or a file")
	f.StringVar(&o.DataName, "data", "", dataUsage)
	unknownClasses(f, &o.Unknown)
	f.StringVar(&o.Dir, "out", "", "`folder` that becomes the model's directory")
	f.StringVar(&o.InitName, "init", "", "`model` to start from, a directory or a bundled name (default: the recipe's)")
	f.BoolVar(&o.NewHead, "new-head", false, "give the model to start from a fresh head for the data's classes")
	f.IntVar(&o.Workers, "workers", 0, "`number` of images decoded and augmented at a time (default: as many as threads)")
	f.BoolVar(&o.Resume, "resume", false, "go on from the newest checkpoint in --out, or start if there is none")
	f.StringArrayVar(&overrides, "set", nil, "override a recipe's value, as `KEY=VALUE`; may be repeated")
	decodingFlags(cmd, &decoding)
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
	case errors.Is(err, data.ErrNoTest):
		return fmt.Errorf("%w (--set validation=0.1)", err)
	case errors.Is(err, data.ErrDamaged):
		return fmt.Errorf("%w (--set damaged=… bears more)", err)
	case errors.Is(err, vit.ErrNoHead):
		return fmt.Errorf("%w: --new-head gives it one", err)
	case errors.Is(err, trainer.ErrClasses):
		return aboutClasses(fmt.Errorf("%w: --new-head gives it one", err))
	case errors.Is(err, eval.ErrSomeUnknown) || errors.Is(err, eval.ErrNoneKnown): // a teacher's
		return aboutClasses(err)
	case errors.Is(err, trainer.ErrNoStart):
		return badUsage("%w: --init names a model", err)
	case errors.As(err, &notFinite):
		return fmt.Errorf("%w (--resume --set lr=…)", err)
	}
	return err
}

// training reports a run after each step: by a bar on a terminal, else by a line of log now and then.
func (a *app) training() func(trainer.Progress) {
	a.bar.start("steps")
	last := time.Now()
	return func(p trainer.Progress) {
		a.bar.describe(trainingText(p))
		a.bar.update(p.Step, p.Steps)
		if a.bar.terminal || time.Since(last) < 30*time.Second && p.Step < p.Steps {
			return
		}
		last = time.Now()
		left := min(float64((p.Steps-p.Step)*p.Batch)/max(p.Rate, 1e-9), 1e9) // seconds
		a.log.Info("training", "epoch", fmt.Sprintf("%d/%d", p.Epoch, p.Epochs),
			"step", fmt.Sprintf("%d/%d", p.Step, p.Steps), "loss", fmt.Sprintf("%.4f", p.Stats.Loss),
			"mean_depth", fmt.Sprintf("%.2f", p.Stats.MeanDepth),
			"images_per_second", fmt.Sprintf("%.0f", p.Rate), "left", time.Second*time.Duration(left))
	}
}

// trainingText says how a run goes.
func trainingText(p trainer.Progress) string {
	return fmt.Sprintf("epoch %d/%d, loss %.3f, %.0f images/s", p.Epoch, p.Epochs, p.Stats.Loss, p.Rate)
}

func (a *app) augment() *cobra.Command {
	o := tools.AugmentOptions{Log: a.log}
	var recipe string
	var overrides []string
	var decoding picture.Decoding
	var seed uint64
	cmd := &cobra.Command{
		Use:   "augment [--recipe NAME|FILE] [--set KEY=VALUE] --data SET --out SHEET.png",
		Short: "Show augmented training pictures",
		Long: `Augment draws a contact sheet of what training sees: a row for each picture, first as the model sees it
without augmentation, then views of it as the recipe augments them, mixed with each other where the recipe says so.`,
		Example: `  adavit augment --recipe fashion-dense --data fashion-mnist --out sheet.png
  adavit augment --data photos --set augment.rand_augment=rand-m9-mstd0.5-inc1 \
      --set 'augment.random_resized_crop={}' --out sheet.png
  adavit augment --recipe my.json --model my-model --data photos --set mix.mixup=0.8 --out sheet.png`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			overrides = append(overrides, decodingOverrides(decoding)...)
			if recipe != "" {
				o.Recipe, err = trainer.LoadRecipe(recipe, overrides)
			} else {
				o.Recipe, err = trainer.ParseRecipe("of --set alone", []byte("{}"), overrides)
			}
			if err != nil {
				return err
			}
			if cmd.Flag("seed").Changed {
				o.Recipe.Seed = seed
			}
			if err := a.fetch(cmd.Context(), o.Model); err != nil {
				return err
			}
			drawn, err := tools.WriteAugmented(cmd.Context(), o)
			if err != nil {
				return err
			}
			return a.show(drawn,
				fmt.Sprintf("%d pictures with %d views each in %s\n", drawn.Images, drawn.Views, drawn.Sheet))
		},
	}
	f := cmd.Flags()
	f.StringVar(&recipe, "recipe", "", "bundled recipe's `name`, or a file (default: no augmentation but what --set says)")
	f.StringArrayVar(&overrides, "set", nil, "override a recipe's value, as `KEY=VALUE`; may be repeated")
	decodingFlags(cmd, &decoding)
	f.StringVar(&o.Data, "data", "", dataUsage)
	f.StringVar(&o.Model, "model", "",
		"`model` whose size and preprocessing pictures get (default: the recipe's, or 224×224)")
	f.StringVar(&o.Out, "out", "", "PNG `file` to write")
	f.IntVar(&o.Count, "count", 8, "`number` of pictures")
	f.IntVar(&o.Views, "views", 8, "`number` of views of each")
	f.Uint64Var(&seed, "seed", 0, "`seed` of all that is random (default: the recipe's)")
	return cmd
}
