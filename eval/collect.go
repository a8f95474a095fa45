package eval

import (
	"context"
	"slices"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/vit"
)

// PerClass is the number of pictures of each class that a Collector keeps in their order.
const PerClass = 2

// maxContrasts bounds the classes whose easy and hard images are kept: of more classes the cheapest and the dearest.
const maxContrasts = 10

// Collector gathers what a report shows of a model.
type Collector struct {
	Tally     *report.Tally     // counts of tokens by depth
	Picked    [][]report.Sample // [classes of the model] the first PerClass pictures of each class
	Contrasts []report.Contrast // the cheapest class first

	from    *evaluator
	depth   []int      // [K]
	best    [][2]*pick // [classes of the model] the easiest and the hardest image that was classified rightly
	channel []byte
}

// pick is an image that may be shown, without its pixels.
type pick struct {
	index, blocks int // of the data set; token-blocks
	sample        report.Sample
}

// Collect runs models as Run does, in turns, so that whatever else the machine does slows all of them alike, and
// gathers what the last one does with the pictures.
func Collect(ctx context.Context, d data.Dataset, o Options, models ...*vit.Model) (
	results []Result, c *Collector, err error) {
	results, err = run(ctx, d, o, func(e *evaluator) (err error) {
		c, err = newCollector(e)
		return err
	}, models...)
	if err == nil {
		err = c.contrast()
	}
	return results, c, err
}

// newCollector looks on while e runs.
func newCollector(e *evaluator) (*Collector, error) {
	c := e.config
	labels := make([]string, c.Classes)
	for i := range labels {
		labels[i] = c.Label(i)
	}
	tally, err := report.NewTally(c.Layers, c.GridW(), c.GridH(), labels)
	if err != nil {
		return nil, err
	}
	col := &Collector{Tally: tally, Picked: make([][]report.Sample, c.Classes), from: e, depth: make([]int, c.Patches()),
		best: make([][2]*pick, c.Classes), channel: make([]byte, c.ImageLen())}
	e.seen = func(first int) (err error) {
		for i := first; i < e.done && err == nil; i++ {
			if !data.Replaced(e.data, i) {
				err = col.add(first, i-first)
			}
		}
		return err
	}
	return col, nil
}

// add takes image i of the slice that began with image first.
func (col *Collector) add(first, i int) error {
	e := col.from
	c, label, blocks := e.config, e.labels[i], 0
	depth := e.out.Depth[i*c.Tokens() : (i+1)*c.Tokens()]
	for _, d := range depth {
		blocks += int(d)
	}
	for k := range col.depth {
		col.depth[k] = int(depth[c.Special()+k])
	}
	top, err := infer.Top(&c, e.out.Logits[i*c.Classes:(i+1)*c.Classes], 1)
	if err != nil {
		return err
	}
	seen := report.Seen{Class: label, Right: top[0].Class == label, Depth: col.depth,
		End: int(halting.End(c.Readouts(), depth))}
	if err := col.Tally.Add(seen); err != nil {
		return err
	}
	now := pick{first + i, blocks, report.Sample{
		Width: c.Width, Height: c.Height, Channels: c.Channels,
		Depth: col.depth, GridW: c.GridW(), GridH: c.GridH(), ClassDepth: seen.End, Layers: c.Layers,
		Label: c.Label(label), Predicted: top[0].Label, Probability: top[0].Probability,
	}}
	if len(col.Picked[label]) < PerClass {
		s, err := col.show(now.kept())
		if err != nil {
			return err
		}
		col.Picked[label] = append(col.Picked[label], s)
	}
	if best := &col.best[label]; seen.Right {
		if best[0] == nil || blocks < best[0].blocks {
			best[0] = now.kept()
		}
		if best[1] == nil || blocks > best[1].blocks {
			best[1] = now.kept()
		}
	}
	return nil
}

// kept is a copy that later images do not change.
func (c pick) kept() *pick {
	c.sample.Depth = slices.Clone(c.sample.Depth)
	return &c
}

// show is the image with its pixels.
func (col *Collector) show(c *pick) (report.Sample, error) {
	s := c.sample
	if err := col.from.data.Pixels(col.channel, c.index); err != nil {
		return s, err
	}
	s.Pixels = report.Interleave(col.channel, s.Channels, s.Height, s.Width)
	return s, nil
}

// contrast fills in Contrasts, once all images have been seen. A class whose images cost the same has none.
func (col *Collector) contrast() error {
	classes := slices.DeleteFunc(col.Tally.Classes(), func(c report.ClassMean) bool {
		best := col.best[c.Class]
		return best[0] == nil || best[0].blocks == best[1].blocks
	})
	for _, c := range report.TwoEnds(classes, maxContrasts) {
		easy, err := col.show(col.best[c.Class][0])
		if err != nil {
			return err
		}
		hard, err := col.show(col.best[c.Class][1])
		if err != nil {
			return err
		}
		col.Contrasts = append(col.Contrasts, report.Contrast{ClassMean: c, Easy: easy, Hard: hard})
	}
	return nil
}

// Samples lists what was picked, class by class.
func (col *Collector) Samples() []report.Sample { return slices.Concat(col.Picked...) }
