package eval

import (
	"context"
	"slices"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/vit"
)

// PerClass is the number of pictures of each class that a Collector keeps.
const PerClass = 2

// Collector gathers what a report shows of a model.
type Collector struct {
	Tally  *report.Tally     // counts of tokens by depth
	Picked [][]report.Sample // [classes of the model] the first PerClass pictures of each class

	depth   []int // [K]
	channel []byte
}

// Collect runs models as Run does, in turns, so that whatever else the machine does slows all of them alike, and
// gathers what the last one does with the pictures.
func Collect(ctx context.Context, d data.Dataset, o Options, models ...*vit.Model) (
	results []Result, c *Collector, err error) {
	results, err = run(ctx, d, o, func(e *evaluator) (err error) {
		c, err = newCollector(e)
		return err
	}, models...)
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
	col := &Collector{Tally: tally, Picked: make([][]report.Sample, c.Classes), depth: make([]int, c.Patches()),
		channel: make([]byte, c.ImageLen())}
	e.seen = func(first int) (err error) {
		for i := first; i < e.done && err == nil; i++ {
			if !data.Replaced(e.data, i) {
				err = col.add(e, first, i-first)
			}
		}
		return err
	}
	return col, nil
}

// add takes image i of the slice that began with image first.
func (col *Collector) add(e *evaluator, first, i int) error {
	c, label := e.config, e.labels[i]
	depth := e.out.Depth[i*c.Tokens() : (i+1)*c.Tokens()]
	for k := range col.depth {
		col.depth[k] = int(depth[c.Special()+k])
	}
	end := int(slices.Max(depth[:c.Readouts().Heads])) // when the image was finished
	if err := col.Tally.Add(label, col.depth); err != nil {
		return err
	}
	if len(col.Picked[label]) == PerClass || c.Channels != 1 && c.Channels != 3 {
		return nil
	}
	if err := e.data.Pixels(col.channel, first+i); err != nil {
		return err
	}
	top, err := infer.Top(&c, e.out.Logits[i*c.Classes:(i+1)*c.Classes], 1)
	if err != nil {
		return err
	}
	col.Picked[label] = append(col.Picked[label], report.Sample{
		Pixels: report.Interleave(col.channel, c.Channels, c.Height, c.Width),
		Width:  c.Width, Height: c.Height, Channels: c.Channels,
		Depth: slices.Clone(col.depth), GridW: c.GridW(), GridH: c.GridH(), ClassDepth: end, Layers: c.Layers,
		Label: c.Label(label), Predicted: top[0].Label, Probability: top[0].Probability,
	})
	return nil
}

// Samples lists what was picked, class by class.
func (col *Collector) Samples() []report.Sample { return slices.Concat(col.Picked...) }
