package adavit_test

import (
	"context"
	"fmt"
	"image"
	"log"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
)

// Classify a picture with a bundled model.
func Example() {
	model, err := adavit.Open("fashion-adaptive") // or a directory
	if err != nil {
		log.Fatal(err)
	}
	classifier, err := adavit.New(model, adavit.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer classifier.Close()

	picture, err := picture.DecodeFile("shoe.png")
	if err != nil {
		log.Fatal(err)
	}
	results, err := classifier.Classify(context.Background(), picture)
	if err != nil {
		log.Fatal(err)
	}
	best := results[0].Top[0]
	fmt.Printf("%s (%.0f %%) for %.0f %% of the dense model's work\n", best.Label, 100*best.Probability, 100*results[0].TokenShare)
}

// Classify a picture with a model made on the spot: its weights are random, so its answer means nothing, but it shows what there is to read.
func ExampleClassifier_Classify() {
	config, err := vit.Variant("micro")
	if err != nil {
		log.Fatal(err)
	}
	model := &vit.Model{
		Params:       vit.Initialize(config, 1, 0),
		Preprocessor: picture.DefaultPreprocessor(config.Height, config.Width, config.Channels),
	}
	classifier, err := adavit.New(model, adavit.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer classifier.Close()

	picture := image.NewRGBA(image.Rect(0, 0, 640, 480)) // any size and colour will do
	results, err := classifier.Classify(context.Background(), picture)
	if err != nil {
		log.Fatal(err)
	}
	r := results[0]
	fmt.Printf("%d predictions, %d token-blocks (%.0f %% of the dense model's)\n", len(r.Top), r.Tokens, 100*r.TokenShare)
	// Output: 5 predictions, 68 token-blocks (100 % of the dense model's)
}

// Measure a model on the bundled test images.
func ExampleEvaluate() {
	config, err := vit.Variant("fashion-small")
	if err != nil {
		log.Fatal(err)
	}
	model := &vit.Model{
		Params:       vit.Initialize(config, 1, 0),
		Preprocessor: picture.DefaultPreprocessor(config.Height, config.Width, config.Channels),
	}
	images, err := datasets.Open("fashion-mnist", data.Test, nil)
	if err != nil {
		log.Fatal(err)
	}
	result, err := adavit.Evaluate(context.Background(), model, images, adavit.EvaluateOptions{Limit: 100})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d images, mean depth %.1f, %.1f M MACs an image\n", result.Images, result.MeanDepth, result.MACs/1e6)
	// Output: 100 images, mean depth 6.0, 9.8 M MACs an image
}
