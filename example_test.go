package adavit_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"log"
	"sync"
	"time"

	"github.com/adavit/adavit"
)

// drawing is a picture: any size and colour will do.
func drawing() image.Image {
	img := image.NewRGBA(image.Rect(0, 0, 280, 280))
	for y := range 280 {
		for x := range 280 {
			if x > 90 && x < 160 && y > 40 && y < 220 || y >= 160 && y < 220 && x > 90 && x < 250 {
				img.Set(x, y, color.White)
			} else {
				img.Set(x, y, color.Black)
			}
		}
	}
	return img
}

// Classify a picture with a bundled model.
func Example() {
	m, err := adavit.Open("fashion-adaptive") // bundled name, directory, hf:owner/name
	if err != nil {
		log.Fatal(err)
	}
	c, err := adavit.NewClassifier(m, adavit.Options{Threads: 2, Precision: adavit.F32})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	r, err := c.Classify(context.Background(), drawing(), adavit.Budget{Mean: 0.3}) // of the dense work, on the average
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(r.Top), r.Top[0].Probability >= r.Top[1].Probability, r.TokenShare < 0.9)
	// Output: 5 true true
}

// Bound what an image may cost, whatever it is.
func ExampleClassifier_Classify() {
	m, err := adavit.Open("fashion-dense")
	if err != nil {
		log.Fatal(err)
	}
	c, err := adavit.NewClassifier(m, adavit.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	r, err := c.Classify(context.Background(), drawing(), adavit.Budget{Max: 0.5})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(r.Top), r.TokenShare <= 0.5)
	// Output: 5 true
}

// Classify many pictures: a bad one does not affect the others.
func ExampleClassifier_ClassifyAll() {
	m, err := adavit.Open("fashion-adaptive")
	if err != nil {
		log.Fatal(err)
	}
	c, err := adavit.NewClassifier(m, adavit.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	images := []image.Image{drawing(), image.NewGray(image.Rectangle{}), drawing()}
	results, err := c.ClassifyAll(context.Background(), images)
	var bad *adavit.ImageError
	if errors.As(err, &bad) {
		fmt.Println("image", bad.Index, "is bad")
	}
	fmt.Println(results[0].Top[0] == results[2].Top[0])
	// Output:
	// image 1 is bad
	// true
}

// Classify files, which are decoded ahead of inference.
func ExampleClassifier_Files() {
	m, err := adavit.Open("fashion-adaptive")
	if err != nil {
		log.Fatal(err)
	}
	c, err := adavit.NewClassifier(m, adavit.Options{Precision: adavit.F32})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for f, err := range c.Files(context.Background(), adavit.FileOptions{}, "picture/testdata/chelsea.png",
		"nowhere.jpg") {
		if err != nil {
			fmt.Println("failed:", err)
			continue
		}
		fmt.Println(f.File, len(f.Top))
	}
	// Output:
	// picture/testdata/chelsea.png 5
	// failed: open nowhere.jpg: no such file or directory
}

// A server's loop: every request is a goroutine, calls share passes, and one whose caller is gone costs nothing from
// the next block on.
func Example_server() {
	m, err := adavit.Open("fashion-adaptive")
	if err != nil {
		log.Fatal(err)
	}
	c, err := adavit.NewClassifier(m, adavit.Options{Threads: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	requests := make(chan image.Image)
	var served, gone int
	var mu sync.Mutex
	var handlers sync.WaitGroup
	var listener sync.WaitGroup
	listener.Go(func() {
		n := 0
		for img := range requests {
			n++
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			if n%4 == 0 {
				cancel() // this client has hung up
			}
			handlers.Go(func() {
				defer cancel()
				_, err := c.Classify(ctx, img, adavit.Budget{Max: 0.8})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case errors.Is(err, context.Canceled):
					gone++
				case err != nil:
					log.Print(err)
				default:
					served++
				}
			})
		}
	})
	for range 100 {
		requests <- drawing()
	}
	close(requests)
	listener.Wait()
	handlers.Wait()
	fmt.Println(served, "served,", gone, "gone")
	// Output: 75 served, 25 gone
}
