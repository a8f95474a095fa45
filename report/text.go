package report

import (
	"fmt"
	"image"
	"image/color"
	"strings"
	"unicode"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// tone is what words say of themselves by colour: a class on a page, a colour on the white ground of a drawn picture.
type tone struct {
	Class string
	color color.RGBA
}

var (
	ink   = tone{"", rgb(0x1b1f24)}
	faint = tone{"faint", rgb(0x606872)}
	good  = tone{"good", rgb(0x1a7f37)}
	bad   = tone{"bad", rgb(0xc62828)}
)

// pen writes text of one size in the Go fonts.
type pen struct {
	regular, bold font.Face
	height        int // of a line, pixels
	ascent        int // of the baseline below the top of a line
}

// newPen returns a pen whose letters are size pixels high.
func newPen(size float64) *pen {
	face := func(ttf []byte) font.Face {
		options := opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone}
		return must(opentype.NewFace(must(opentype.Parse(ttf)), &options))
	}
	p := &pen{regular: face(goregular.TTF), bold: face(gobold.TTF)}
	m := p.regular.Metrics()
	p.height, p.ascent = (m.Ascent + m.Descent).Ceil(), m.Ascent.Ceil()
	return p
}

// must is v of what cannot fail: the fonts are parts of the program.
func must[T any](v T, err error) T {
	if err != nil {
		panic("report: " + err.Error())
	}
	return v
}

// face returns the face of line i of some lines, of which the first one is bold.
func (p *pen) face(i int) font.Face {
	if i == 0 {
		return p.bold
	}
	return p.regular
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
func (p *pen) center(img *image.RGBA, c color.RGBA, x0, x1, y int, text string) {
	p.draw(img, p.regular, c, x0+(x1-x0-width(p.regular, text))/2, y, text)
}

// lines writes lines below each other, the first one bold, each at most limit pixels wide.
func (p *pen) lines(img *image.RGBA, x, y, limit int, lines []line) {
	for i, l := range lines {
		p.draw(img, p.face(i), l.Tone.color, x, y+i*p.height, cut(p.face(i), l.Text, limit))
	}
}

// cut shortens text to one line that is at most limit pixels wide, with an ellipsis where something is missing.
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

// oneLine keeps a name from breaking a table or a terminal: control characters and runs of spaces become one space.
func oneLine(s string) string {
	gap := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	return strings.Join(strings.FieldsFunc(s, gap), " ")
}

// short is oneLine with an ellipsis instead of what goes beyond so many letters.
func short(s string, most int) string {
	runes := []rune(oneLine(s))
	if len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return string(runes)
}

// legend draws, from x to at most right, words and a swatch for each depth from first on, with as many of the numbers
// as fit.
func (p *pen) legend(img *image.RGBA, x, y, right, first, layers int) {
	n, number := layers-first+1, width(p.regular, fmt.Sprint(layers))+p.height/3
	text := "blocks a token ran in"
	if width(p.regular, text) > min((right-x)/2, right-x-p.height/2-n*number) {
		text = "blocks"
	}
	x = p.draw(img, p.regular, faint.color, x, y, text) + p.height/2
	side := max(1, min(p.height*3/2, (right-x)/n))
	for i := range n {
		at := image.Rect(x+i*side, y, x+(i+1)*side, y+p.height)
		draw.Draw(img, at, image.NewUniform(depthColor(float64(first+i), layers)), image.Point{}, draw.Src)
	}
	for i := 0; i < n; i += (number + side - 1) / side { // a wide number reaches into its neighbours
		p.center(img, inkOn(depthColor(float64(first+i), layers)), x+i*side, x+(i+1)*side, y, fmt.Sprint(first+i))
	}
}

// canvas is a white image of w×h pixels.
func canvas(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(img, img.Rect, image.White, image.Point{}, draw.Src)
	return img
}

// place draws src in the middle of the w×h pixels whose top left corner is (x, y).
func place(dst *image.RGBA, x, y, w, h int, src *image.RGBA) {
	at := image.Pt(x+(w-src.Rect.Dx())/2, y+(h-src.Rect.Dy())/2)
	draw.Draw(dst, src.Rect.Add(at), src, image.Point{}, draw.Over)
}
