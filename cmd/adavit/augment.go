package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/trainer"
)

func (a *app) augment() *cobra.Command {
	o := tools.AugmentOptions{}
	var recipe string
	var overrides []string
	var seed uint64
	cmd := &cobra.Command{
		Use:   "augment [--recipe NAME|FILE] [--set KEY=VALUE] --data SET --out SHEET.png",
		Short: "Show augmented training pictures",
		Long: "Augment draws a contact sheet of what training sees: a row for each picture, first as the model sees it " +
			"without augmentation, then views\n" +
			"of it as the recipe augments them, mixed with each other where the recipe says so.",
		Example: "  adavit augment --recipe fashion-dense --data fashion-mnist --out sheet.png\n" +
			"  adavit augment --data photos --set augment.rand_augment=rand-m9-mstd0.5-inc1 --set " +
			"'augment.random_resized_crop={}' --out sheet.png\n" +
			"  adavit augment --recipe my.json --model my-model --data photos --set mix.mixup=0.8 --count 4 --out sheet.png",
		Args: arguments("", 0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "data", "out"); err != nil {
				return err
			}
			if err := atLeastOne(cmd, "count", "views"); err != nil {
				return err
			}
			var err error
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
			if err := a.fetch(cmd, o.Model); err != nil {
				return err
			}
			o.Log = a.log
			drawn, err := tools.WriteAugmented(cmd.Context(), o)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(drawn)
			}
			return a.print(fmt.Appendf(nil, "%d pictures with %d views each in %s\n", drawn.Images, drawn.Views, drawn.Sheet))
		},
	}
	f := cmd.Flags()
	f.StringVar(&recipe, "recipe", "", "bundled recipe's `name`, or a file (default: no augmentation but what --set says)")
	f.StringArrayVar(&overrides, "set", nil, "override a recipe's value, as `KEY=VALUE`; may be repeated")
	f.StringVar(&o.Data, "data", "", dataUsage)
	f.StringVar(&o.Model, "model", "",
		"`model` whose size and preprocessing pictures get (default: the recipe's, or 224×224)")
	f.StringVar(&o.Out, "out", "", "PNG `file` to write")
	f.IntVar(&o.Count, "count", 8, "`number` of pictures")
	f.IntVar(&o.Views, "views", 8, "`number` of views of each")
	f.Uint64Var(&seed, "seed", 0, "`seed` of all that is random (default: the recipe's)")
	return cmd
}
