package main

import (
	"context"
	"fmt"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/picture"
)

// classifiedInto is what classify --output --json prints.
type classifiedInto struct {
	Model   string `json:"model"`
	Output  string `json:"output"`
	Images  int    `json:"images"`
	Failed  int    `json:"failed"`
	Resumed int    `json:"resumed"` // of the images, done by a run before this one
}

// classifyInto classifies pictures into a table, and goes on where an earlier run has left off.
func (a *app) classifyInto(ctx context.Context, output, name string, m *adavit.Model, c *adavit.Classifier,
	o adavit.FileOptions, args []string) error {
	run, err := tools.ResultsRun(m, a.precision, o.Budget, o.Decoding)
	if err != nil {
		return err
	}
	results, err := tools.NewResults(output, run)
	if err != nil {
		return err
	}
	defer results.Close()
	done, todo := 0, 0
	o.Choose = func(files []picture.File) []picture.File {
		chosen := results.Choose(files)
		if todo = len(chosen); results.Resumed > 0 {
			fmt.Fprintf(a.err, "%d of %d images were done before; going on\n", results.Resumed, len(files))
		}
		a.bar.start("classifying")
		return chosen
	}
	for r, err := range c.Files(ctx, o, args...) {
		if err != nil && r.File == "" {
			if done > 0 {
				err = fmt.Errorf("%w; what is done is kept, and the same command goes on from there", err)
			}
			return err
		}
		f := tools.Classified{File: r.File}
		if err != nil {
			f.Error = err.Error()
		} else {
			f.Result, f.Milliseconds = &r.Result, float64(r.Took.Microseconds())/1000
		}
		if err := results.Add(f); err != nil {
			return err
		}
		done++
		a.bar.update(done, todo)
	}
	a.bar.end()
	if err := results.Finish(); err != nil {
		return err
	}
	text := fmt.Sprintf("%s: %d images", output, results.Images)
	if results.Failed > 0 {
		text += fmt.Sprintf(", %d of which could not be classified; the column error says why", results.Failed)
	}
	return a.show(classifiedInto{name, output, results.Images, results.Failed, results.Resumed}, text+"\n")
}
