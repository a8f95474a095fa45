package report

import (
	"fmt"
	"image"
	"image/color"
	"strings"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// theme is the set of colours of a drawn picture.
type theme struct{ ground, ink, faint, good, bad color.RGBA }

var (
	lightTheme = theme{
		ground: color.RGBA{0xff, 0xff, 0xff, 255}, ink: color.RGBA{0x1b, 0x1f, 0x24, 255}, faint: color.RGBA{0x60, 0x68, 0x72, 255},
		good: color.RGBA{0x1a, 0x7f, 0x37, 255}, bad: color.RGBA{0xc6, 0x28, 0x28, 255},
	}
	darkTheme = theme{
		ground: color.RGBA{0x0f, 0x13, 0x18, 255}, ink: color.RGBA{0xe8, 0xeb, 0xee, 255}, faint: color.RGBA{0x9a, 0xa4, 0xaf, 255},
		good: color.RGBA{0x4c, 0xc3, 0x6b, 255}, bad: color.RGBA{0xff, 0x7b, 0x72, 255},
	}
)

func themeOf(dark bool) theme {
	if dark {
		return darkTheme
	}
	return lightTheme
}

// pen writes text of one size in the Go fonts.
type pen struct {
	regular, bold font.Face
	height        int // of a line, pixels
	ascent        int // of the baseline below the top of a line
}

// newPen returns a pen whose letters are size pixels high.
func newPen(size float64) (*pen, error) {
	face := func(ttf []byte) (font.Face, error) {
		f, err := opentype.Parse(ttf)
		if err != nil {
			return nil, fmt.Errorf("report: font: %w", err)
		}
		return opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
	}
	regular, err := face(goregular.TTF)
	if err != nil {
		return nil, err
	}
	bold, err := face(gobold.TTF)
	if err != nil {
		return nil, err
	}
	m := regular.Metrics()
	return &pen{regular, bold, (m.Ascent + m.Descent).Ceil(), m.Ascent.Ceil()}, nil
}

// width is the width in pixels of text in the given face.
func width(f font.Face, text string) int { return font.MeasureString(f, text).Ceil() }

// draw writes text with its top left corner at (x, y) and returns the x after it.
func (p *pen) draw(img *image.RGBA, f font.Face, c color.RGBA, x, y int, text string) int {
	d := font.Drawer{Dst: img, Src: image.NewUniform(c), Face: f, Dot: fixed.P(x, y+p.ascent)}
	d.DrawString(text)
	return d.Dot.X.Ceil()
}

// center writes text in the middle of x0..x1.
func (p *pen) center(img *image.RGBA, f font.Face, c color.RGBA, x0, x1, y int, text string) {
	p.draw(img, f, c, x0+(x1-x0-width(f, text))/2, y, text)
}

// cut shortens text so that it is at most limit pixels wide, with an ellipsis
// where something is missing. Control characters and runs of spaces become one space.
func cut(f font.Face, text string, limit int) string {
	text = oneLine(text)
	if width(f, text) <= limit {
		return text
	}
	runes := []rune(text)
	for n := len(runes) - 1; n > 0; n-- {
		if t := strings.TrimRight(string(runes[:n]), " ") + "…"; width(f, t) <= limit {
			return t
		}
	}
	return ""
}

// heading is a figure's title, in large letters, above its subtitle; both may be empty.
type heading struct {
	large, small    *pen
	title, subtitle string
	gap             int // below each
}

// newHeading returns a heading in a figure whose text is p's, size pixels high.
func newHeading(p *pen, size float64, title, subtitle string, gap int) (heading, error) {
	large, err := newPen(size * 1.45)
	return heading{large, p, title, subtitle, gap}, err
}

// height is what the heading takes, with the gap below it.
func (h heading) height() (sum int) {
	if h.title != "" {
		sum += h.large.height + h.gap
	}
	if h.subtitle != "" {
		sum += h.small.height + h.gap
	}
	return sum
}

// draw writes the heading in img with a margin around it.
func (h heading) draw(img *image.RGBA, t theme, margin int) {
	y, limit := margin, img.Rect.Dx()-2*margin
	if h.title != "" {
		h.large.draw(img, h.large.bold, t.ink, margin, y, cut(h.large.bold, h.title, limit))
		y += h.large.height + h.gap
	}
	if h.subtitle != "" {
		h.small.draw(img, h.small.regular, t.faint, margin, y, cut(h.small.regular, h.subtitle, limit))
	}
}

// canvas is an image of w×h pixels filled with c.
func canvas(w, h int, c color.RGBA) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	fill(img, img.Rect, c)
	return img
}

func fill(img *image.RGBA, r image.Rectangle, c color.RGBA) {
	draw.Draw(img, r, image.NewUniform(c), image.Point{}, draw.Src)
}

// place draws src in the middle of r.
func place(dst *image.RGBA, r image.Rectangle, src *image.RGBA) {
	at := r.Min.Add(image.Pt((r.Dx()-src.Rect.Dx())/2, (r.Dy()-src.Rect.Dy())/2))
	draw.Draw(dst, src.Rect.Sub(src.Rect.Min).Add(at), src, src.Rect.Min, draw.Over)
}
