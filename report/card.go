package report

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/jpeg"
	"strings"
)

// card is one sample on a page.
type card struct {
	ID, Box    string // of the image inside the page; its viewBox
	W, H       int    // pixels of the image
	Image, Map template.URL
	Head       string
	Lines      []line
	Frames     []frameView
	Alt, Seen  string
	Small      bool // few pixels, which stay sharp when enlarged
}

// frameView is the image as one block saw it: the page's own copy of it under one path over the patches that are gone.
type frameView struct {
	Block                    int
	Gone, Share, About, Done string
}

// newCard makes a card of s, whose image gets the name id; without the blocks' frames if frames is false.
func newCard(id string, s Sample, frames bool) (card, error) {
	if err := s.Validate(); err != nil {
		return card{}, err
	}
	c := card{
		ID: id, Box: fmt.Sprintf("0 0 %d %d", s.Width, s.Height), W: s.Width, H: s.Height,
		Alt: "the image", Seen: "map of token depths", Small: max(s.Width, s.Height) < 112, Lines: s.describe(),
	}
	if len(c.Lines) > 0 && c.Lines[0].Tone == ink {
		c.Head, c.Lines = c.Lines[0].Text, c.Lines[1:]
		c.Alt, c.Seen = c.Head, c.Head+": "+c.Seen
	}
	// Enlarged before it is stored: it costs next to nothing, and the pixels stay sharp in viewers that would smooth them.
	var err error
	if c.Image, err = inline(resize(s, max(112, s.Width, s.Height))); err != nil {
		return c, err
	}
	if c.Map, err = inline(depthMap(s, 224)); err != nil {
		return c, err
	}
	if !frames {
		return c, nil
	}
	for _, l := range pickFrames(s.Layers, 24) {
		alive, n := s.alive(l), len(s.Depth)
		f := frameView{Block: l, Gone: gonePath(s, l), About: fmt.Sprintf("block %d: %d of %d patches", l, alive, n)}
		if n > 0 {
			f.Share = fmt.Sprintf("%.0f%%", 100*float64(alive)/float64(n))
		}
		if s.ended(l) {
			f.Done = "done"
			f.About += ", not run: the image had ended"
		}
		c.Frames = append(c.Frames, f)
	}
	return c, nil
}

// gonePath is a path, in pixels of the image, over the patches gone in block layer; neighbours become one rectangle.
func gonePath(s Sample, layer int) string {
	var gone []image.Rectangle
	eachPatch(s, image.Rect(0, 0, s.Width, s.Height), func(k int, r image.Rectangle) {
		n := len(gone)
		switch {
		case s.Depth[k] >= layer:
		case n > 0 && gone[n-1].Max.X == r.Min.X && gone[n-1].Min.Y == r.Min.Y:
			gone[n-1].Max.X = r.Max.X
		default:
			gone = append(gone, r)
		}
	})
	var b strings.Builder
	for _, r := range gone {
		fmt.Fprintf(&b, "M%d %dh%dv%dh-%dz", r.Min.X, r.Min.Y, r.Dx(), r.Dy(), r.Dx())
	}
	return b.String()
}

// DataURL returns the sample's image as a data: URL.
func (s Sample) DataURL() (string, error) {
	if err := s.Validate(); err != nil {
		return "", err
	}
	url, err := inline(resize(s, max(s.Width, s.Height)))
	return string(url), err
}

// inline returns img as a data URL: PNG, or JPEG where that makes a large photograph several times smaller.
func inline(img *image.RGBA) (template.URL, error) {
	b, err := encodePNG(img)
	kind := "png"
	if err == nil && len(b) > 24<<10 {
		var j bytes.Buffer
		if err = jpeg.Encode(&j, img, &jpeg.Options{Quality: 90}); 2*j.Len() < len(b) {
			b, kind = j.Bytes(), "jpeg"
		}
	}
	return template.URL("data:image/" + kind + ";base64," + base64.StdEncoding.EncodeToString(b)), err
}

// swatch is one colour of the legend.
type swatch struct{ Fill, Ink, Text string }

// legend is the colours of the depths of samples.
func legend(samples []Sample) []swatch {
	layers := 0
	for _, s := range samples {
		layers = max(layers, s.Layers)
	}
	depths := pickFrames(layers, maxSwatches)
	if shallowest(samples...) == 0 {
		depths = append([]int{0}, depths...)
	}
	var out []swatch
	for _, d := range depths {
		c := depthColor(float64(d), layers)
		s := swatch{hex(c), hex(inkOn(c)), ""}
		if layers <= maxBarLabels || d <= 1 || d == layers {
			s.Text = fmt.Sprint(d)
		}
		out = append(out, s)
	}
	return out
}
