package adavit

import (
	"context"
	"slices"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/vit"
)

// perClass is the number of pictures of each class in a report.
const perClass = 2

// collector gathers from an evaluator what the report shows of its model.
type collector struct {
	tally   *report.Tally
	picked  [][]report.Sample // of each class of the model
	depth   []int             // [K]
	channel []byte
}

// collect runs the pictures of d through a model in f32 and gathers what becomes of them.
func collect(ctx context.Context, m *vit.Model, d data.Dataset, threads int) (*collector, error) {
	e, err := newEvaluator(m, d, EvaluateOptions{Threads: threads, Precision: string(infer.F32)})
	if err != nil {
		return nil, err
	}
	defer e.close()
	col, err := newCollector(e)
	if err != nil {
		return nil, err
	}
	return col, e.all(ctx)
}

// newCollector looks on while e runs.
func newCollector(e *evaluator) (*collector, error) {
	c := e.config
	labels := make([]string, c.Classes)
	for i := range labels {
		labels[i] = c.Label(i)
	}
	tally, err := report.NewTally(c.Layers, c.GridW(), c.GridH(), labels)
	if err != nil {
		return nil, err
	}
	col := &collector{tally: tally, picked: make([][]report.Sample, c.Classes), depth: make([]int, c.Patches()), channel: make([]byte, imageSize(c))}
	e.seen = func(first int) error {
		for i := range e.done - first {
			if data.Replaced(e.data, first+i) {
				continue
			}
			if err := col.add(e, first, i); err != nil {
				return err
			}
		}
		return nil
	}
	return col, nil
}

// add takes image i of the slice that began with image first.
func (col *collector) add(e *evaluator, first, i int) error {
	c, label := e.config, e.labels[i]
	depth := e.out.Depth[i*c.Tokens() : (i+1)*c.Tokens()]
	for k := range col.depth {
		col.depth[k] = int(depth[c.Special()+k])
	}
	end := int(slices.Max(depth[:c.Readouts().Heads])) // when the image was finished
	if err := col.tally.Add(label, col.depth, end); err != nil {
		return err
	}
	if len(col.picked[label]) == perClass || c.Channels != 1 && c.Channels != 3 {
		return nil
	}
	if err := e.data.Pixels(col.channel, first+i); err != nil {
		return err
	}
	top, err := topOf(c, e.out.Logits[i*c.Classes:(i+1)*c.Classes], 1)
	if err != nil {
		return err
	}
	col.picked[label] = append(col.picked[label], report.Sample{
		Pixels: report.Interleave(col.channel, c.Channels, c.Height, c.Width), Width: c.Width, Height: c.Height, Channels: c.Channels,
		Depth: slices.Clone(col.depth), GridW: c.GridW(), GridH: c.GridH(), ClassDepth: end, Layers: c.Layers,
		Label: c.Label(label), Predicted: top[0].Label, Probability: top[0].Probability,
	})
	return nil
}

// samples lists what was picked, class by class.
func (col *collector) samples() []report.Sample { return slices.Concat(col.picked...) }
