package trainer_test

import (
	"context"
	"fmt"
	"os"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
)

// A recipe is a struct, the images are any data.Dataset, and a callback is told of every epoch.
func ExampleRun() {
	dir, err := os.MkdirTemp("", "model")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	c := vit.Config{Embed: 8, Heads: 2, Layers: 2, Hidden: 16, Height: 8, Width: 8, Patch: 4, Channels: 1, Classes: 2,
		Eps: 1e-6, Halting: halting.Config{Scheme: "token"}.With("gate_scale", 4).With("gate_center", 1)}
	recipe := trainer.DefaultRecipe()
	recipe.Epochs, recipe.Batch, recipe.EMA, recipe.AlphaPonder, recipe.AlphaPrior = 2, 8, 0.99, 0.001, 0.1

	result, err := trainer.Run(context.Background(), trainer.Options{
		Recipe: recipe,
		Data:   data.Parts{Train: shades(32), Validation: shades(8), Test: shades(6)},
		Init:   &vit.Model{Params: vit.Initialize(c, 1, 0), Preprocessor: picture.DefaultPreprocessor(8, 8, 1)},
		Dir:    dir,
		Epoch: func(_ context.Context, e trainer.Entry, _ *vit.Params) error {
			fmt.Println("epoch", e.Epoch, "of", e.Step, "steps, tested on", e.Test.Images, "images")
			return nil
		},
	})
	if err != nil {
		panic(err)
	}
	model, err := vit.Load(result.Dir)
	if err != nil {
		panic(err)
	}
	fmt.Println(result.Epochs, "epochs; the model knows", model.Params.Config.Labels)
	// Output:
	// epoch 1 of 4 steps, tested on 6 images
	// epoch 2 of 8 steps, tested on 6 images
	// 2 epochs; the model knows [dark bright]
}

// shades are n pictures, dark and bright ones in turn.
func shades(n int) data.Dataset {
	pixels, labels := make([]byte, n*64), make([]byte, n)
	for i := range pixels {
		labels[i/64] = byte(i / 64 % 2)
		pixels[i] = byte(i/64%2*150 + i*i%90)
	}
	d, err := data.NewBlock("shades", pixels, labels, 1, 8, 8, []string{"dark", "bright"})
	if err != nil {
		panic(err)
	}
	return d
}
