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

// card is one sample on the page.
type card struct {
	ID, Box   string // of the image inside the page; its viewBox
	W, H      int    // pixels of the image
	Image     template.URL
	Map       template.URL
	Head      string
	Lines     []cardLine
	Frames    []frameView
	Alt, Seen string
	Small     bool // few pixels, which stay sharp when enlarged
}

type cardLine struct{ Text, Class string }

// frameView is the image as one block saw it: the page's own copy of the image with
// one path over the patches that are gone.
type frameView struct {
	Block       int
	Gone        string
	Share       string
	About, Done string
}

func cardOf(index int, s Sample) (card, error) {
	if err := s.Validate(); err != nil {
		return card{}, err
	}
	c := card{
		ID: fmt.Sprintf("image%d", index), Box: fmt.Sprintf("0 0 %d %d", s.Width, s.Height), W: s.Width, H: s.Height,
		Alt: "the image", Seen: "map of token depths", Small: max(s.Width, s.Height) < 112,
	}
	for i, l := range describe(s) {
		if i == 0 && l.tone == 0 {
			c.Head = l.text
			continue
		}
		c.Lines = append(c.Lines, cardLine{l.text, [...]string{"", "faint", "good", "bad"}[l.tone]})
	}
	if c.Head != "" {
		c.Alt, c.Seen = c.Head, c.Head+": "+c.Seen
	}
	// Enlarged before it is stored: it costs next to nothing, and the pixels stay
	// sharp in viewers that would smooth them.
	img, err := inline(resize(s, max(112, s.Width, s.Height)))
	if err != nil {
		return c, err
	}
	c.Image = img
	depth, err := DepthMap(s, 224)
	if err != nil {
		return c, err
	}
	if c.Map, err = inline(depth); err != nil {
		return c, err
	}
	for _, l := range pickFrames(s.Layers, 24) {
		f := frameView{Block: l, Gone: gonePath(s, l)}
		alive := s.Alive(l)
		f.About = fmt.Sprintf("block %d: %d of %d patches", l, alive, len(s.Depth))
		if n := len(s.Depth); n > 0 {
			f.Share = fmt.Sprintf("%.0f%%", 100*float64(alive)/float64(n))
		}
		if s.ClassDepth > 0 && l > s.ClassDepth {
			f.Done = "done"
			f.About += ", not run: the class token had halted"
		}
		c.Frames = append(c.Frames, f)
	}
	return c, nil
}

// gonePath returns path data, in pixels of the image, over the patches that do not
// run in block layer; neighbours in a line become one rectangle.
func gonePath(s Sample, layer int) string {
	var b strings.Builder
	bounds := image.Rect(0, 0, s.Width, s.Height)
	var open image.Rectangle
	flush := func() {
		if !open.Empty() {
			fmt.Fprintf(&b, "M%d %dh%dv%dh-%dz", open.Min.X, open.Min.Y, open.Dx(), open.Dy(), open.Dx())
		}
		open = image.Rectangle{}
	}
	eachPatch(s, bounds, func(k int, r image.Rectangle) {
		switch {
		case s.Depth[k] >= layer:
			flush()
		case !open.Empty() && open.Max.X == r.Min.X && open.Min.Y == r.Min.Y:
			open.Max.X = r.Max.X
		default:
			flush()
			open = r
		}
	})
	flush()
	return b.String()
}

// inline returns img as a data URL: PNG, or JPEG where the picture is a large
// photograph and PNG would be several times its size.
func inline(img *image.RGBA) (template.URL, error) {
	b, err := encodePNG(img)
	if err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	kind := "png"
	if len(b) > 24<<10 {
		var j bytes.Buffer
		if err := jpeg.Encode(&j, img, &jpeg.Options{Quality: 90}); err != nil {
			return "", fmt.Errorf("report: %w", err)
		}
		if 2*j.Len() < len(b) {
			b, kind = j.Bytes(), "jpeg"
		}
	}
	return template.URL("data:image/" + kind + ";base64," + base64.StdEncoding.EncodeToString(b)), nil
}
