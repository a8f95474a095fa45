package report

import (
	"errors"
	"fmt"
	"image"
	"image/color"
)

// MontageOptions says how Montage draws; the zero value will do.
type MontageOptions struct {
	Title, Subtitle string
	Size            int  // pixels of one small picture's side; ≤ 0: 84
	MaxFrames       int  // frames at most, for deep models; ≤ 0: 12
	Dark            bool // light text on a dark ground
}

// maxPixels bounds a drawn picture, so that a long list fails with an error.
const maxPixels = 1 << 26

// maxCell is the largest picture in a figure, pixels a side.
const maxCell = 1024

// Montage draws samples as a figure: one line each with what was predicted, the
// image, its depth map, and the tokens that ran in each block; above them a title
// and the colour legend. All samples must come from models of equal depth.
// Photographs want a Size of 112 or more.
func Montage(samples []Sample, o MontageOptions) (*image.RGBA, error) {
	if len(samples) == 0 {
		return nil, errors.New("report: montage of no samples")
	}
	layers := samples[0].Layers
	for i, s := range samples {
		if err := s.Validate(); err != nil {
			return nil, fmt.Errorf("sample %d: %w", i, err)
		}
		if s.Layers != layers {
			return nil, fmt.Errorf("%w: sample %d has %d blocks, sample 0 has %d", ErrSample, i, s.Layers, layers)
		}
	}
	cell := o.Size
	if cell <= 0 {
		cell = 84
	}
	cell = min(cell, maxCell)
	frames := pickFrames(layers, o.MaxFrames)
	text := max(11, float64(cell)*0.235)
	p, err := newPen(text)
	if err != nil {
		return nil, err
	}
	t := themeOf(o.Dark)

	// Columns: words, image, depth map, a wider gap, then the frames. Cells are as
	// wide and as high as the largest picture in them.
	cw, ch := 0, 0
	for _, s := range samples {
		w, h := fit(s.Width, s.Height, cell)
		cw, ch = max(cw, w), max(ch, h)
	}
	ch = max(ch, 3*p.height)
	gap := max(3, cw/16)
	margin := max(12, cell/3)
	words := 0
	for _, s := range samples {
		for i, l := range describe(s) {
			f := p.regular
			if i == 0 {
				f = p.bold
			}
			words = max(words, width(f, oneLine(l.text)))
		}
	}
	words = min(words, 4*cell)
	left := margin + words + margin/2
	column := func(i int) int { // 0 the image, 1 the depth map, 2… the frames
		x := left + i*(cw+gap)
		if i >= 2 {
			x += 2 * gap
		}
		return x
	}
	width0 := column(2+len(frames)) - gap + margin
	head, err := newHeading(p, text, o.Title, o.Subtitle, gap)
	if err != nil {
		return nil, err
	}
	top := margin + head.height()
	legendTop := top
	top += p.height + 2*gap // the legend's line
	headTop := top
	top += p.height + gap
	height := top + len(samples)*(ch+2*gap) - 2*gap + margin
	if width0*height > maxPixels || height > 1<<16 || width0 > 1<<16 {
		return nil, fmt.Errorf("report: montage of %d samples would be %d×%d pixels", len(samples), width0, height)
	}
	img := canvas(width0, height, t.ground)
	head.draw(img, t, margin)
	drawLegend(img, p, t, margin, legendTop, width0-margin, layers)
	p.center(img, p.regular, t.faint, column(0), column(0)+cw, headTop, "image")
	p.center(img, p.regular, t.faint, column(1), column(1)+cw, headTop, "depth")
	for i, l := range frames {
		name := fmt.Sprint(l)
		if i == 0 {
			name = "block " + name
			if width(p.regular, name) > cw {
				name = fmt.Sprint(l)
			}
		}
		p.center(img, p.regular, t.faint, column(2+i), column(2+i)+cw, headTop, name)
	}
	for i, s := range samples {
		y := top + i*(ch+2*gap)
		at := func(c int) image.Rectangle { return image.Rect(column(c), y, column(c)+cw, y+ch) }
		lines := describe(s)
		ly := y + (ch-len(lines)*p.height)/2
		for j, l := range lines {
			f := p.regular
			if j == 0 {
				f = p.bold
			}
			p.draw(img, f, l.color(t), margin, ly, cut(f, l.text, words))
			ly += p.height
		}
		place(img, at(0), resize(s, cell))
		depth, err := DepthMap(s, cell)
		if err != nil {
			return nil, err
		}
		place(img, at(1), depth)
		for j, l := range frames {
			frame := resize(s, cell)
			greyOut(frame, s, l)
			place(img, at(2+j), frame)
		}
	}
	return img, nil
}

// Panel draws one sample large: a caption, image and depth map side by side, the
// legend, and below them the tokens that ran in each block, six to a line. The
// image's longer side is about size pixels (≤ 0: 252).
func Panel(s Sample, size int, dark bool) (*image.RGBA, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if size <= 0 {
		size = 252
	}
	size = min(size, maxCell)
	big := resize(s, size)
	depth, err := DepthMap(s, size)
	if err != nil {
		return nil, err
	}
	p, err := newPen(max(11, float64(size)*0.062))
	if err != nil {
		return nil, err
	}
	t := themeOf(dark)
	gap, margin := max(4, size/24), max(10, size/12)
	bw, bh := big.Rect.Dx(), big.Rect.Dy()
	inner := 2*bw + gap
	const perLine = 6
	frames := pickFrames(s.Layers, 4*perLine)
	between := gap / 2
	if max(s.Width, s.Height) <= size/2 {
		between = 2 // enlarged by whole factors, frames need every pixel
	}
	room := (inner - (perLine-1)*between) / perLine // the most that a frame may be wide
	fw, fh := fit(s.Width, s.Height, max(1, room*max(s.Width, s.Height)/s.Width))
	step := (inner - fw) / (perLine - 1)
	lines := (len(frames) + perLine - 1) / perLine
	caption := describe(s)
	head := margin + len(caption)*p.height + gap
	legendTop := head + bh + gap
	stripTop := legendTop + p.height + 2*gap
	img := canvas(inner+2*margin, stripTop+lines*(fh+p.height+gap)-gap+margin, t.ground)
	for i, l := range caption {
		f := p.regular
		if i == 0 {
			f = p.bold
		}
		p.draw(img, f, l.color(t), margin, margin+i*p.height, cut(f, l.text, inner))
	}
	place(img, image.Rect(margin, head, margin+bw, head+bh), big)
	place(img, image.Rect(margin+bw+gap, head, margin+inner, head+bh), depth)
	drawLegend(img, p, t, margin, legendTop, margin+inner, s.Layers)
	for i, l := range frames {
		x, y := margin+i%perLine*step, stripTop+i/perLine*(fh+p.height+gap)
		frame := resize(s, max(fw, fh))
		greyOut(frame, s, l)
		place(img, image.Rect(x, y, x+fw, y+fh), frame)
		p.center(img, p.regular, t.faint, x, x+fw, y+fh, fmt.Sprintf("%d", l))
	}
	return img, nil
}

// pickFrames returns the blocks (1-based) to show: all of them, or most of them
// evenly spaced with the first and the last among them.
func pickFrames(layers, most int) []int {
	if most <= 0 {
		most = 12
	}
	n := min(layers, most)
	out := make([]int, n)
	for i := range out {
		out[i] = i + 1
		if n < layers && n > 1 {
			out[i] = 1 + (i*(layers-1)+(n-1)/2)/(n-1)
		}
	}
	return out
}

// Legend draws the colour legend alone: one swatch for each depth 1..layers.
func Legend(layers, size int, dark bool) (*image.RGBA, error) {
	if layers < 1 || layers > maxLayers {
		return nil, fmt.Errorf("report: legend of %d blocks, want 1..%d", layers, maxLayers)
	}
	size = min(size, 1<<13)
	p, err := newPen(max(11, float64(size)/28))
	if err != nil {
		return nil, err
	}
	t := themeOf(dark)
	w := max(size, 24*p.height)
	img := canvas(w, 2*p.height, t.ground)
	drawLegend(img, p, t, p.height/2, p.height/2, w-p.height/2, layers)
	return img, nil
}

// drawLegend draws, from x to at most right, the words and a swatch for each depth
// with its number (as many numbers as fit).
func drawLegend(img *image.RGBA, p *pen, t theme, x, y, right, layers int) {
	text := "blocks a token ran in"
	if width(p.regular, text) > (right-x)/2 {
		text = "blocks"
	}
	x = p.draw(img, p.regular, t.faint, x, y, text) + p.height/2
	side := p.height * 3 / 2
	if layers*side > right-x {
		side = max(1, (right-x)/layers)
	}
	every := 1
	for every*side < width(p.regular, fmt.Sprint(layers))+p.height/3 {
		every++
	}
	for d := 1; d <= layers; d++ {
		c := DepthColor(d, layers)
		x0 := x + (d-1)*side
		fill(img, image.Rect(x0, y, x0+side, y+p.height), c)
		if (d-1)%every == 0 {
			p.center(img, p.regular, inkOn(c), x0, x0+side*min(every, layers-d+1), y, fmt.Sprint(d))
		}
	}
}

// line is one line of words beside a sample.
type line struct {
	text string
	tone int // 0 ink, 1 faint, 2 good, 3 bad
}

func (l line) color(t theme) color.RGBA {
	return [...]color.RGBA{t.ink, t.faint, t.good, t.bad}[l.tone]
}

// describe puts a sample into words: its heading, the prediction, its depth.
func describe(s Sample) []line {
	var out []line
	head := s.Title
	if head == "" {
		head = s.Label
	}
	if head != "" {
		out = append(out, line{head, 0})
	}
	if s.Predicted != "" {
		text := s.Predicted
		if finite(s.Probability) {
			text += fmt.Sprintf(" %.0f %%", 100*s.Probability)
		}
		l := line{text, 1}
		if ok, known := s.Correct(); known && ok {
			l.tone = 2
		} else if known {
			l.tone = 3
			if s.Title != "" {
				l.text += ", not " + s.Label
			} else {
				l.text = "wrong: " + l.text
			}
		}
		out = append(out, l)
	}
	if d := s.MeanDepth(); finite(d) {
		out = append(out, line{fmt.Sprintf("%.1f of %d blocks", d, s.Layers), 1})
	}
	return out
}
