package report

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrSample is wrapped by every error about a Sample whose sizes do not agree.
var ErrSample = errors.New("report: bad sample")

// Sample is one image and what the model did with it.
type Sample struct {
	Title string // the heading, such as a file's name; may be empty

	// Pixels is [Height, Width, Channels] bytes at the model's input size: 1 channel (grey) or 3 (red, green, blue).
	Pixels                  []byte
	Width, Height, Channels int

	// Depth is [GridH, GridW], row-major: the number of blocks that each patch token ran in, 1..Layers; 0 for a
	// token that ran in none. The class token is not among them.
	Depth        []int
	GridW, GridH int

	ClassDepth int // blocks after which the image ended, with its class token if it has one; 0: not known
	Layers     int // blocks of the model

	Label, Predicted string  // names of the true and the predicted class; "": not known
	Probability      float64 // of the predicted class, 0..1; NaN: not known
}

// Validate reports the first thing about s that does not fit together, as an error that wraps ErrSample.
func (s Sample) Validate() error {
	bad := func(format string, args ...any) error {
		name := ""
		if s.Title != "" {
			name = fmt.Sprintf(" %q", s.Title)
		}
		return fmt.Errorf("%w%s: %s", ErrSample, name, fmt.Sprintf(format, args...))
	}
	switch {
	case s.Width <= 0 || s.Height <= 0 || s.Width > maxSide || s.Height > maxSide:
		return bad("size %d×%d, want 1..%d pixels a side", s.Width, s.Height, maxSide)
	case s.Channels != 1 && s.Channels != 3:
		return bad("%d channels, want 1 or 3", s.Channels)
	case len(s.Pixels) != s.Width*s.Height*s.Channels:
		return bad("%d bytes of pixels, want %d for %d×%d×%d",
			len(s.Pixels), s.Width*s.Height*s.Channels, s.Height, s.Width, s.Channels)
	case s.Layers < 1 || s.Layers > maxLayers:
		return bad("%d blocks, want 1..%d", s.Layers, maxLayers)
	case s.GridW < 0 || s.GridH < 0 || s.GridW > s.Width || s.GridH > s.Height:
		return bad("grid of %d×%d tokens over %d×%d pixels", s.GridH, s.GridW, s.Height, s.Width)
	case len(s.Depth) != s.GridW*s.GridH:
		return bad("%d depths, want %d for a grid of %d×%d", len(s.Depth), s.GridW*s.GridH, s.GridH, s.GridW)
	case s.ClassDepth < 0 || s.ClassDepth > s.Layers:
		return bad("class token ran in %d of %d blocks", s.ClassDepth, s.Layers)
	}
	if k := impossible(s.Depth, s.Layers); k >= 0 {
		return bad("token %d ran in %d of %d blocks", k, s.Depth[k], s.Layers)
	}
	return nil
}

// impossible is the first token whose depth is none of so many blocks, or −1.
func impossible(depth []int, layers int) int {
	return slices.IndexFunc(depth, func(d int) bool { return d < 0 || d > layers })
}

// shallowest is the first depth of a legend for samples: 0 where a token ran in no block, as under a cap, else 1.
func shallowest(samples ...Sample) int {
	for _, s := range samples {
		if slices.Contains(s.Depth, 0) {
			return 0
		}
	}
	return 1
}

// alive returns how many patch tokens ran in block layer (1-based).
func (s Sample) alive(layer int) int {
	n := 0
	for _, d := range s.Depth {
		if d >= layer {
			n++
		}
	}
	return n
}

// meanDepth is the mean number of blocks over all tokens, the class token too if its depth is known; NaN without any.
func (s Sample) meanDepth() float64 {
	sum, n := s.ClassDepth, len(s.Depth)
	for _, d := range s.Depth {
		sum += d
	}
	if s.ClassDepth > 0 {
		n++
	}
	return float64(sum) / float64(n)
}

// line is one line of words beside a picture.
type line struct {
	Text string
	Tone tone
}

// describe puts a sample into words: its heading, the prediction, its depth, its end.
func (s Sample) describe() []line {
	var out []line
	if head := cmp.Or(s.Title, s.Label); head != "" {
		out = append(out, line{head, ink})
	}
	if s.Predicted != "" {
		l := line{s.Predicted, faint}
		if finite(s.Probability) {
			l.Text += fmt.Sprintf(" %.0f %%", 100*s.Probability)
		}
		switch {
		case s.Label == "":
		case s.Label == s.Predicted:
			l.Tone = good
		case s.Title != "":
			l = line{l.Text + ", not " + s.Label, bad}
		default:
			l = line{"wrong: " + l.Text, bad}
		}
		out = append(out, l)
	}
	if d := s.meanDepth(); finite(d) {
		out = append(out, line{fmt.Sprintf("%.1f of %d blocks", d, s.Layers), faint})
	}
	if text := s.end(); text != "" {
		out = append(out, line{text, faint})
	}
	return out
}

// ended reports whether the image had ended before block layer.
func (s Sample) ended(layer int) bool { return s.ClassDepth > 0 && layer > s.ClassDepth }

// end says where the image ended; "" where that is not known or goes without saying.
func (s Sample) end() string {
	if s.ClassDepth == 0 || s.ClassDepth == s.Layers {
		return ""
	}
	return fmt.Sprintf("ended in block %d", s.ClassDepth)
}

// Interleave turns pixels [channels, height, width] into [height, width, channels]. It panics if chw is too short.
func Interleave(chw []byte, channels, height, width int) []byte {
	plane := height * width
	out := make([]byte, channels*plane)
	for c := range channels {
		for i, v := range chw[c*plane : (c+1)*plane] {
			out[i*channels+c] = v
		}
	}
	return out
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
