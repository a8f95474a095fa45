package picture

import (
	"fmt"
	"image"
	"slices"
	"sync"

	"github.com/adavit/adavit/internal/kernels"
)

// Part is a rectangle of a picture, in pixels.
type Part struct{ Top, Left, Height, Width int }

// ResizePart writes the part of img, resized as Pillow 13 does, to dst [channels, height, width].
func ResizePart(dst []byte, img image.Image, p Part, channels, height, width, filter int) error {
	win := window{fullHeight: height, fullWidth: width, height: height, width: width}
	return resize(dst, width, 0, img, p, channels, win, filter)
}

// window is the part [top, top+height) × [left, left+width) of a picture that was resized to fullHeight × fullWidth.
type window struct {
	fullHeight, fullWidth    int
	top, left, height, width int
	acrossFirst              bool // whatever the sizes, as before Pillow 13
}

// resize writes that window of the part p of img, resized, to dst [channels, …, width], where its first pixel is number
// at of each plane. Nothing outside of the window is computed.
func resize(dst []byte, width, at int, img image.Image, p Part, channels int, win window, filter int) error {
	if p.Height < 1 || p.Width < 1 || win.fullHeight < 1 || win.fullWidth < 1 {
		return fmt.Errorf("resizing %d×%d to %d×%d", p.Height, p.Width, win.fullHeight, win.fullWidth)
	}
	plane := len(dst) / channels
	if channels == 3 && isGrey(img) {
		grey := dst[:plane]
		err := resize(grey, width, at, img, p, 1, win, filter)
		copy(dst[plane:], grey)
		copy(dst[2*plane:], grey)
		return err
	}
	r := resizers.Get().(*resizer)
	defer resizers.Put(r)
	r.across.set(span{p.Width, win.fullWidth, win.left, win.width, filter})
	r.down.set(span{p.Height, win.fullHeight, win.top, win.height, filter})
	// From 13 on Pillow begins with the pass that takes much more away.
	lost := p.Height - win.fullHeight
	r.downFirst = !win.acrossFirst && lost > 0 && lost > 2*(p.Width-win.fullWidth)
	r.open(img, p, channels)
	for y := 0; y < win.height; y += band {
		count := min(band, win.height-y)
		rows := r.output(y, count)
		for i := range count {
			for c := range channels {
				copy(dst[c*plane+at+(y+i)*width:][:win.width], rows[(i*channels+c)*r.columns:])
			}
		}
	}
	r.src = rows{} // not to keep the picture
	return nil
}

// band is how many rows the pass across takes at a time.
const band = 16

// resizer resizes a picture, and is the scratch for it. It makes one band of output rows after the other, and holds no
// more source rows than an output row takes, twice over.
//
// The pass down sums rows, byte by byte. For the pass across bands of rows are turned, so that what it sums is rows as
// well, each of them the same pixel of all rows of the band. Turning them back sorts the channels into planes.
type resizer struct {
	across, down axis
	downFirst    bool // the pass down comes first

	src        rows
	top, skip  int // its first row that is needed, and the bytes before the first pixel
	pitch      int // bytes from row to row of the source
	channels   int // of the output
	columns    int // of the output, rounded up to bands
	wide       int // bytes of a row that the pass down sums
	begin, end int // the rows in the window, counted from top

	lines          []byte // [band, pitch], source rows
	turned         []byte // [source columns, step, band]
	narrow         []byte // [columns, channels, band]
	window         []byte // [rows, wide], the rows that the pass down can see
	summed, planes []byte // [band, wide] and [band, channels, columns], output rows
}

// What pictures leave behind for the next ones: resizers, and bytes on their way to a model.
var (
	resizers = sync.Pool{New: func() any { return new(resizer) }}
	buffers  = sync.Pool{New: func() any { return new([]byte) }}
)

// open prepares to resize the part p of img.
func (r *resizer) open(img image.Image, p Part, channels int) {
	img, skip := columnsOf(img, p.Left+r.across.begin, p.Left+r.across.end)
	r.src = readRows(img, channels)
	r.top, r.skip = p.Top+r.down.begin, skip*r.src.step
	r.begin, r.end = 0, 0
	r.pitch = roundUp(r.src.width*r.src.step, 16)
	r.channels, r.columns = channels, roundUp(r.across.count, band)
	if r.wide = channels * r.columns; r.downFirst {
		r.wide = r.pitch
	}
	const beyond = 8 // the last pixels are turned eight bytes at a time
	setLen(&r.lines, band*r.pitch+beyond)
	setLen(&r.turned, band*roundUp((r.across.end-r.across.begin)*r.src.step, 8))
	setLen(&r.narrow, r.columns*channels*band)
	setLen(&r.window, (min(2*r.down.taps, r.down.end-r.down.begin)+band)*r.wide)
	setLen(&r.summed, band*r.wide+beyond)
	setLen(&r.planes, band*channels*r.columns)
}

// output makes count rows from y on, [band, channels, columns].
func (r *resizer) output(y, count int) []byte {
	for i := range count {
		first, taps := int(r.down.first[y+i]), r.down.taps
		for r.end < first+taps {
			r.read(first)
		}
		kernels.Resample(r.summed[i*r.wide:], r.window[(first-r.begin)*r.wide:], r.wide, r.wide, origin,
			r.down.weight[(y+i)*taps:][:taps])
	}
	if !r.downFirst {
		return r.summed
	}
	r.squeeze(r.planes, r.summed)
	return r.planes
}

// origin makes Resample begin with the first row.
var origin = []int32{0}

// read appends the next source rows to the window, up to a band of them. Rows before first may go.
func (r *resizer) read(first int) {
	if (r.end-r.begin+band)*r.wide > len(r.window) {
		copy(r.window, r.window[(first-r.begin)*r.wide:(r.end-r.begin)*r.wide])
		r.begin = first
	}
	place := r.window[(r.end-r.begin)*r.wide:]
	lines := place
	if !r.downFirst {
		lines = r.lines
	}
	for i := range min(band, r.down.end-r.down.begin-r.end) {
		r.src.row(r.top+r.end, lines[i*r.pitch:][:r.src.width*r.src.step])
		r.end++
	}
	if !r.downFirst {
		r.squeeze(place, lines)
	}
}

// squeeze makes the pass across: of lines [band, pitch] it makes dst [band, channels, columns].
func (r *resizer) squeeze(dst, lines []byte) {
	kernels.TransposeBytes(r.turned, band, lines[r.skip:], r.pitch, len(r.turned)/band)
	kernels.Resample(r.narrow, r.turned, band*r.src.step, band*r.channels, r.across.first, r.across.weight)
	for x := 0; x < r.columns; x += band {
		for c := range r.channels {
			kernels.TransposeBytes(dst[c*r.columns+x:], r.channels*r.columns,
				r.narrow[(x*r.channels+c)*band:], r.channels*band, band)
		}
	}
}

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

// setLen gives b that length; what is in it does not matter.
func setLen(b *[]byte, n int) { *b = slices.Grow((*b)[:0], n)[:n] }

// Sides returns height and width of a picture that can be cropped; other sides are an error.
func Sides(img image.Image) (h, w int, err error) {
	h, w = img.Bounds().Dy(), img.Bounds().Dx()
	if most := defaultLimits; h < 1 || w < 1 || int64(h) > most.side || int64(w) > most.side {
		return 0, 0, fmt.Errorf("picture of %d×%d pixels", w, h)
	}
	return h, w, nil
}
