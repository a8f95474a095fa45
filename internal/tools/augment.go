package tools

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"strings"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
)

// AugmentOptions say what WriteAugmented shows.
type AugmentOptions struct {
	Recipe trainer.Recipe // its augment, mix and seed
	Data   string         // a data set as data.Open names it, whose training part is shown
	// Model, as Open names it, says how large pictures are and how they are prepared; "" for the recipe's own, or else
	// ImageNet's 224×224.
	Model string
	Out   string       // PNG file
	Count int          // pictures shown
	Views int          // augmented views of each
	Log   *slog.Logger // damaged pictures; may be nil
}

// Augmented is what WriteAugmented drew.
type Augmented struct {
	Sheet  string `json:"sheet"`
	Images int    `json:"images"`
	Views  int    `json:"views"`
}

// The most pictures that a contact sheet shows, and views of each.
const maxSheet = 100

// WriteAugmented draws a contact sheet of what training sees: a row for each picture, with the picture as a model would
// see it without augmentation and then views drawn as those of the first epochs are, mixed ones included, with the
// shares of their labels. A column is a batch.
func WriteAugmented(ctx context.Context, o AugmentOptions) (Augmented, error) {
	if o.Count < 1 || o.Count > maxSheet || o.Views < 1 || o.Views > maxSheet {
		return Augmented{}, usage.Errorf("%d pictures with %d views each, want 1 to %d of both", o.Count, o.Views, maxSheet)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := notInput(o.Out, o.Data, o.Model); err != nil {
		return Augmented{}, err
	}
	c, p, err := o.shape(ctx)
	if err != nil {
		return Augmented{}, err
	}
	source, err := datasets.Find(o.Data, o.Log)
	if err != nil {
		return Augmented{}, err
	}
	parts, err := trainer.PartsOf(o.Data, source, o.Recipe, "", false, o.Log)
	if errors.Is(err, data.ErrNoTest) { // what a training would say first; pictures can be looked at all the same
		parts.Train, err = source.Open(data.Train)
	}
	if err != nil {
		return Augmented{}, err
	}
	if parts, err = o.Recipe.Prepare(parts, o.Log); err != nil {
		return Augmented{}, err
	}
	set := parts.Train // what is held out is not trained on
	s := sampler{channels: c.Channels, height: c.Height, width: c.Width, classes: set.Classes(), seed: o.Recipe.Seed}
	s.mean, s.std = p.MeanStd(c.Channels)
	s.index = data.Order(s.seed, 0, set.Len())[:min(o.Count, set.Len())]
	if s.plain, err = data.NewAugmenter(data.Augment{}, set, p, c.Channels, c.Height, c.Width); err != nil {
		return Augmented{}, err
	}
	if s.augmented, err = data.NewAugmenter(o.Recipe.Augment, set, p, c.Channels, c.Height, c.Width); err != nil {
		return Augmented{}, err
	}
	rows, err := s.rows(ctx, o.Recipe.Mix, o.Views)
	if err != nil {
		return Augmented{}, err
	}
	columns := []string{"original"}
	for v := range o.Views {
		columns = append(columns, fmt.Sprintf("epoch %d", v+1))
	}
	size := 84
	if max(c.Height, c.Width) > 64 {
		size = 160
	}
	img, err := report.Sheet(rows, report.FigureOptions{Title: "Augmented pictures of " + filepath.Base(o.Data),
		Subtitle: describeAugment(o.Recipe.Augment, o.Recipe.Mix),
		Columns:  columns, Size: size})
	if err != nil {
		return Augmented{}, err
	}
	return Augmented{Sheet: o.Out, Images: len(rows), Views: o.Views}, report.WritePNG(o.Out, img)
}

// shape is the size of a model's input and how pictures are prepared for it.
func (o AugmentOptions) shape(ctx context.Context) (vit.Config, picture.Preprocessor, error) {
	name := o.Model
	if name == "" {
		name = o.Recipe.Init
	}
	if name != "" {
		m, err := adavit.OpenContext(ctx, name, adavit.OpenOptions{})
		if err != nil {
			return vit.Config{}, picture.Preprocessor{}, err
		}
		return m.Params.Config, m.Preprocessor, nil
	}
	c := vit.Config{Channels: 3, Height: 224, Width: 224}
	if o.Recipe.Variant != "" {
		var err error
		if c, err = vit.Variant(o.Recipe.Variant); err != nil {
			return c, picture.Preprocessor{}, fmt.Errorf("recipe: %w", err)
		}
	}
	return c, picture.DefaultPreprocessor(c.Height, c.Width, c.Channels), nil
}

// sampler loads pictures for a contact sheet.
type sampler struct {
	channels, height, width int
	mean, std               []float32 // a channel each
	classes                 []string
	seed                    uint64
	index                   []int // pictures of the data set
	plain, augmented        *data.Augmenter
}

// rows loads one row for each picture: itself and its views.
func (s *sampler) rows(ctx context.Context, mix data.Mix, views int) ([]report.SheetRow, error) {
	rows := make([]report.SheetRow, len(s.index))
	originals, labels, err := s.batch(ctx, s.plain, 0)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		rows[i] = report.SheetRow{Name: s.classes[labels[i]], Pictures: []report.Sample{s.picture(originals, i)}}
	}
	targets := make([]float32, len(s.index)*len(s.classes))
	for epoch := range views {
		images, labels, err := s.batch(ctx, s.augmented, epoch)
		if err != nil {
			return nil, err
		}
		mixed := mix.Enabled(epoch)
		if mixed {
			mix.Apply(images, labels, targets, len(s.classes), 0, s.channels, s.height, s.width,
				data.Rand(s.seed, uint64(epoch), mixIndex))
		}
		for i := range rows {
			p := s.picture(images, i)
			if mixed {
				p.Title = s.shares(targets[i*len(s.classes):][:len(s.classes)], labels[i], labels[len(labels)-1-i])
			}
			rows[i].Pictures = append(rows[i].Pictures, p)
		}
	}
	return rows, nil
}

// mixIndex is the index whose random stream mixes a column; no picture has it.
const mixIndex = math.MaxUint64 - 1

// batch loads a column: [pictures, channels, height, width] and their labels.
func (s *sampler) batch(ctx context.Context, from *data.Augmenter, epoch int) (images []float32, labels []int32,
	err error) {
	size := s.channels * s.height * s.width
	images, labels = make([]float32, len(s.index)*size), make([]int32, len(s.index))
	for i, at := range s.index {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		label, err := from.Load(images[i*size:][:size], at, data.Rand(s.seed, uint64(epoch), uint64(at)))
		if err != nil {
			return nil, nil, err
		}
		labels[i] = int32(label)
	}
	return images, labels, nil
}

// picture turns picture i of a batch back into bytes.
func (s *sampler) picture(images []float32, i int) report.Sample {
	plane := s.height * s.width
	p := report.Sample{Pixels: make([]byte, s.channels*plane), Width: s.width, Height: s.height, Channels: s.channels}
	for k, v := range images[i*s.channels*plane:][:s.channels*plane] {
		c := k / plane
		p.Pixels[k%plane*s.channels+c] = byte(math.Round(min(max(255*float64(v*s.std[c]+s.mean[c]), 0), 255)))
	}
	return p
}

// shares says how much of which class is in a mixed picture; "" if there is but one.
func (s *sampler) shares(target []float32, own, other int32) string {
	share := math.Round(100 * float64(target[own]))
	if own == other || share == 100 {
		return ""
	}
	return fmt.Sprintf("%.0f %% %s\n%.0f %% %s", share, s.classes[own], 100-share, s.classes[other])
}

// describeAugment names what is done to pictures, in its order.
func describeAugment(a data.Augment, m data.Mix) string {
	var parts []string
	add := func(on bool, format string, args ...any) {
		if on {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	if c := a.RandomResizedCrop; c != nil {
		add(true, "crop of %.3g–%.3g %% of the area", 100*c.Scale[0], 100*c.Scale[1])
	}
	add(a.Flip, "flip")
	add(a.RandAugment != "", "%s", a.RandAugment)
	add(a.ColorJitter > 0 && (a.RandAugment == "" || a.ColorJitterAlways), "colour jitter %v", a.ColorJitter)
	add(a.Shift > 0, "shift %d", a.Shift)
	add(a.Affine > 0, "affine %v", a.Affine)
	add(a.EraseProb > 0, "erasing %v", a.EraseProb)
	add(m.Enabled(0) && m.Mixup > 0, "mixup %v", m.Mixup)
	add(m.Enabled(0) && m.CutMix > 0, "cutmix %v", m.CutMix)
	if len(parts) == 0 {
		return "no augmentation"
	}
	return strings.Join(parts, ", ")
}
