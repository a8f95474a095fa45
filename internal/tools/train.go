package tools

import (
	"cmp"
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
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
)

// Train runs o's recipe, with TensorBoard's files and a report. Data and models are opened by their names: o.DataName
// as datasets.Find has it, and o.InitName ("" for the recipe's own) and the recipe's teacher as adavit.Open has them.
// Training computes in F32 or BF16, and with Auto as trainer.Recipe.In says.
func Train(ctx context.Context, o trainer.Options, p infer.Precision) (r trainer.Result, err error) {
	if _, err = infer.Resolve(p, nil); err != nil {
		return r, err
	}
	if train.CheckPrecision(string(p)) != nil {
		return r, usage.Errorf("training computes in f32 or bf16, not in %s", p)
	}
	if o.Threads, err = parallel.Threads(o.Threads); err != nil {
		return r, err
	}
	if o.Workers < 0 || o.Workers > parallel.MaxThreads {
		return r, usage.Errorf("%d workers, want 1 to %d (or 0 for as many as threads)", o.Workers, parallel.MaxThreads)
	}
	o.InitName = cmp.Or(o.InitName, o.Recipe.Init)
	if o.InitName == "" && o.NewHead {
		return r, usage.Errorf("a new head is for a model to start from, and none is named")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Recipe = o.Recipe.In(string(p), o.Dir, o.Resume)
	if o.Recipe.Precision == train.BF16 && train.Fastest() != train.BF16 {
		o.Log.Warn("this machine has no instructions for bf16, so that f32 is faster")
	}
	o.Log.Info("arithmetic", "precision", cmp.Or(o.Recipe.Precision, train.F32), "threads", o.Threads)
	source, err := datasets.Find(o.DataName, o.Log)
	if err != nil {
		return r, err
	}
	if sameFile(o.Dir, o.DataName) && !o.Resume {
		return r, usage.Errorf("%s is the data set, and the run's files would lie among its own; name another folder", o.Dir)
	}
	if o.Data, err = trainer.PartsOf(o.DataName, source, o.Recipe, o.Dir, o.Resume, o.Log); err != nil {
		return r, err
	}
	if classes := o.Data.Train.Classes(); len(classes) == 1 {
		o.Log.Warn("the data have one class alone, so there is nothing to tell apart", "class", classes[0])
	}
	if o.InitName != "" {
		var open adavit.OpenOptions
		open.NewHead = o.NewHead
		if o.Init, err = adavit.OpenContext(ctx, o.InitName, open); err != nil {
			return r, err
		}
		for _, note := range o.Init.Notes {
			o.Log.Info(note, "model", o.InitName)
		}
		if o.Recipe.Variant != "" {
			o.Log.Warn("the recipe's variant has no effect: the model that training starts from decides",
				"variant", o.Recipe.Variant, "model", o.InitName)
		}
	}
	teacher, err := o.Recipe.TeacherName(o.InitName)
	if err != nil {
		return r, err
	}
	if teacher != "" {
		if o.Teacher, err = adavit.OpenContext(ctx, teacher, adavit.OpenOptions{}); err != nil {
			return r, fmt.Errorf("teacher: %w", err)
		}
	}
	o.Report, o.TensorBoard = true, true
	return trainer.Run(ctx, o)
}

// AugmentOptions say what WriteAugmented shows.
type AugmentOptions struct {
	Recipe trainer.Recipe // its augment, mix and seed
	Data   string         // a data set as datasets.Find names it, whose training part is shown
	Model  string         // whose pictures' size and preparation; "" for the recipe's own, or else ImageNet's 224×224
	Out    string         // PNG file
	Count  int            // pictures shown
	Views  int            // augmented views of each
	Log    *slog.Logger   // told of damaged pictures; may be nil
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
	if strings.ToLower(filepath.Ext(o.Out)) != pngExt {
		return Augmented{}, usage.Errorf("the sheet is a PNG file, and %q does not end in .png", o.Out)
	}
	if err := cmp.Or(notInput(o.Out, o.Data, o.Model), replaceable(o.Out, pngExt)); err != nil {
		return Augmented{}, err
	}
	shape, err := o.shape(ctx)
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
	s, err := newSampler(parts.Train, shape, o.Recipe.Augment) // what is held out is not trained on
	if err != nil {
		return Augmented{}, err
	}
	s.seed = o.Recipe.Seed
	n := parts.Train.Len()
	if o.Recipe.Limit > 0 {
		n = min(n, o.Recipe.Limit)
	}
	s.index = data.Order(s.seed, 0, n)[:min(o.Count, n)]
	rows, err := s.rows(ctx, o.Recipe.Mix, o.Views)
	if err != nil {
		return Augmented{}, err
	}
	sheet := report.FigureOptions{Title: "Augmented pictures of " + filepath.Base(o.Data),
		Subtitle: describeAugment(o.Recipe.Augment, o.Recipe.Mix), Columns: []string{"original"}, Size: 84}
	for v := range o.Views {
		sheet.Columns = append(sheet.Columns, fmt.Sprintf("epoch %d", v+1))
	}
	if max(s.height, s.width) > 64 {
		sheet.Size = 160
	}
	img, err := report.Sheet(rows, sheet)
	if err != nil {
		return Augmented{}, err
	}
	return Augmented{Sheet: o.Out, Images: len(rows), Views: o.Views}, report.WritePNG(o.Out, img)
}

// shape is a model, or one without parameters, whose input's size and preparation are those of the pictures.
func (o AugmentOptions) shape(ctx context.Context) (*vit.Model, error) {
	if name := cmp.Or(o.Model, o.Recipe.Init); name != "" {
		m, err := adavit.OpenContext(ctx, name, adavit.OpenOptions{})
		if err == nil {
			m.Preprocessor = o.Recipe.Preprocess(m.Preprocessor, m.Params.Config)
		}
		return m, err
	}
	c := vit.Config{Channels: 3, Height: 224, Width: 224}
	if o.Recipe.Variant != "" {
		var err error
		if c, err = vit.Variant(o.Recipe.Variant); err != nil {
			return nil, fmt.Errorf("recipe: %w", err)
		}
	}
	return &vit.Model{Params: &vit.Params{Config: c},
		Preprocessor: o.Recipe.Preprocess(picture.DefaultPreprocessor(c.Height, c.Width, c.Channels), c)}, nil
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

// newSampler makes one of d's pictures as they are for a model, and as a augments them.
func newSampler(d data.Dataset, m *vit.Model, a data.Augment) (s sampler, err error) {
	c, p := m.Params.Config, m.Preprocessor
	s = sampler{channels: c.Channels, height: c.Height, width: c.Width, classes: d.Classes()}
	s.mean, s.std = p.MeanStd(c.Channels)
	if s.plain, err = data.NewAugmenter(data.Augment{}, d, p, c.Channels, c.Height, c.Width); err != nil {
		return s, err
	}
	s.augmented, err = data.NewAugmenter(a, d, p, c.Channels, c.Height, c.Width)
	return s, err
}

// rows loads one row for each picture: itself and its views.
func (s *sampler) rows(ctx context.Context, mix data.Mix, views int) ([]report.SheetRow, error) {
	rows, classes := make([]report.SheetRow, len(s.index)), len(s.classes)
	targets := make([]float32, len(rows)*classes)
	for epoch := -1; epoch < views; epoch++ { // epoch −1: the pictures themselves
		from, mixed := s.augmented, mix.Enabled(epoch)
		if epoch < 0 {
			from, mixed = s.plain, false
		}
		images, labels, err := s.batch(ctx, from, epoch)
		if err != nil {
			return nil, err
		}
		if mixed {
			mix.Apply(images, labels, targets, classes, 0, s.channels, s.height, s.width,
				data.Rand(s.seed, uint64(epoch), mixIndex))
		}
		for i := range rows {
			p := s.picture(images, i)
			if mixed {
				p.Title = s.shares(targets[i*classes:][:classes], labels[i], labels[len(labels)-1-i])
			}
			rows[i].Name = s.classes[labels[i]]
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
