package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/internal/results"
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

// mistyped returns what is wrong with an argument that stands for no picture at all, which would else be a row of the
// table as if it were a damaged one.
func mistyped(files []picture.File, args []string) error {
	named := map[string]bool{}
	for _, name := range args {
		named[name] = name != "-"
	}
	for _, f := range files {
		if !named[f.Name] {
			continue
		}
		if f.Err != nil {
			return f.Err
		}
		if _, err := os.Stat(f.Name); errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// classifyInto classifies pictures into a table, and goes on where an earlier run has left off.
func (a *app) classifyInto(ctx context.Context, output, name string, m *adavit.Model,
	options adavit.Options, c *adavit.Classifier, o adavit.FileOptions, args []string) error {
	run, err := results.Run(m, options, o.Budget, o.Decoding)
	if err != nil {
		return err
	}
	table, err := results.Open(output, run, options.Embed)
	if err != nil {
		return err
	}
	defer table.Close()
	done, todo := 0, 0
	var refused error
	o.Choose = func(files []picture.File) []picture.File {
		if refused = mistyped(files, args); refused != nil {
			return nil
		}
		chosen := table.Choose(files)
		if table.Others > 0 {
			refused = fmt.Errorf("%s.partial has results that this command does not name (%d, such as that of %s): name "+
				"those pictures as the command did that was interrupted, or remove the file to begin anew", output, table.Others,
				table.Other)
			return nil
		}
		if todo = len(chosen); table.Resumed > 0 {
			fmt.Fprintf(a.err, "%d of %d images were done before; going on\n", table.Resumed, len(files))
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
		f := results.Row{File: r.File}
		if err != nil {
			f.Error = err.Error()
		} else {
			f.Result, f.Milliseconds = &r.Result, float64(r.Took.Microseconds())/1000
		}
		if err := table.Add(f); err != nil {
			return err
		}
		done++
		a.bar.update(done, todo)
	}
	a.bar.end()
	if refused != nil {
		return refused
	}
	if err := table.Finish(); err != nil {
		return err
	}
	text := fmt.Sprintf("%s: %d images", output, table.Images)
	if table.Failed > 0 {
		text += fmt.Sprintf(", %d of which could not be classified; the column error says why", table.Failed)
	}
	if err := a.show(classifiedInto{name, output, table.Images, table.Failed, table.Resumed}, text+"\n"); err != nil {
		return err
	}
	if table.Failed > 0 && table.Failed == table.Images { // not the fault of this picture or that
		return errors.New("no image could be classified: it may be the model's fault, or these are no pictures")
	}
	return nil
}
