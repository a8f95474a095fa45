package report

import (
	"fmt"
	"image"
	"image/color"

	"golang.org/x/image/draw"
)

// How strongly a picture is covered, in 1/256: the depth colours over the image,
// and the grey over a token that is gone. The rest lets the object shine through.
const (
	depthShare = 190
	goneShare  = 225
)

// Image returns the sample's image alone, its longer side about size pixels. An
// image smaller than that is enlarged by a whole factor with every pixel kept
// sharp (so the result may be smaller than size); a larger one is averaged down.
// size ≤ 0 leaves the image as it is.
func Image(s Sample, size int) (*image.RGBA, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return resize(s, size), nil
}

// DepthMap returns the image, in grey, under the map of its token depths: each
// patch has the colour DepthColor gives it. size is as for Image.
func DepthMap(s Sample, size int) (*image.RGBA, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	img := resize(s, size)
	eachPatch(s, img.Bounds(), func(k int, r image.Rectangle) {
		c := DepthColor(s.Depth[k], s.Layers)
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				// Grey is pressed into the middle of its range first, so that neither a
				// black nor a white background drags the colour away from the legend's.
				g := uint8(64 + luma(img.RGBAAt(x, y))/2)
				img.SetRGBA(x, y, blend(color.RGBA{g, g, g, 255}, c, depthShare))
			}
		}
		seam(img, r)
	})
	return img, nil
}

// AliveFrame returns the image as block layer (1-based) sees it: patches whose
// token ran in that block as they are, the others greyed out. size is as for Image.
func AliveFrame(s Sample, layer, size int) (*image.RGBA, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	img := resize(s, size)
	greyOut(img, s, layer)
	return img, nil
}

// AliveStrip returns one frame for each block, as AliveFrame draws it, left to
// right and top to bottom in the given number of columns (≤ 0: all in one line),
// on a transparent ground. size is for one frame.
func AliveStrip(s Sample, size, columns int) (*image.RGBA, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if columns <= 0 || columns > s.Layers {
		columns = s.Layers
	}
	plain := resize(s, size)
	w, h := plain.Rect.Dx(), plain.Rect.Dy()
	gap := max(1, w/20)
	lines := (s.Layers + columns - 1) / columns
	if columns*(w+gap)*lines*(h+gap) > maxPixels {
		return nil, fmt.Errorf("report: a strip of %d frames of %d×%d pixels is too large", s.Layers, w, h)
	}
	out := image.NewRGBA(image.Rect(0, 0, columns*(w+gap)-gap, lines*(h+gap)-gap))
	for l := range s.Layers {
		r := image.Rect(0, 0, w, h).Add(image.Pt(l%columns*(w+gap), l/columns*(h+gap)))
		frame := &image.RGBA{Pix: append([]byte(nil), plain.Pix...), Stride: plain.Stride, Rect: plain.Rect}
		greyOut(frame, s, l+1)
		draw.Draw(out, r, frame, image.Point{}, draw.Src)
	}
	return out, nil
}

// greyOut covers the patches of img whose token does not run in block layer.
func greyOut(img *image.RGBA, s Sample, layer int) {
	eachPatch(s, img.Bounds(), func(k int, r image.Rectangle) {
		if s.Depth[k] >= layer {
			return
		}
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				g := uint8(luma(img.RGBAAt(x, y)))
				img.SetRGBA(x, y, blend(color.RGBA{g, g, g, 255}, goneRGB, goneShare))
			}
		}
	})
}

// eachPatch calls f with each patch token and its rectangle in bounds.
func eachPatch(s Sample, bounds image.Rectangle, f func(k int, r image.Rectangle)) {
	w, h := bounds.Dx(), bounds.Dy()
	for k := range s.Depth {
		x, y := k%s.GridW, k/s.GridW
		f(k, image.Rect(x*w/s.GridW, y*h/s.GridH, (x+1)*w/s.GridW, (y+1)*h/s.GridH).Add(bounds.Min))
	}
}

// seam darkens the left and upper edge of a patch a little, where patches are
// large enough for a line between them.
func seam(img *image.RGBA, r image.Rectangle) {
	if r.Dx() < 12 || r.Dy() < 12 {
		return
	}
	dark := func(x, y int) { img.SetRGBA(x, y, blend(img.RGBAAt(x, y), color.RGBA{0, 0, 0, 255}, 48)) }
	if r.Min.X > img.Rect.Min.X {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			dark(r.Min.X, y)
		}
	}
	if r.Min.Y > img.Rect.Min.Y {
		for x := r.Min.X; x < r.Max.X; x++ {
			dark(x, r.Min.Y)
		}
	}
}

// fit returns the size at which a w×h image is drawn when its longer side should
// be about size: enlarged by a whole factor, or reduced to exactly size.
func fit(w, h, size int) (int, int) {
	longer := max(w, h)
	switch {
	case size <= 0 || size == longer:
		return w, h
	case size > longer:
		k := min(size, maxSide) / longer
		return w * max(k, 1), h * max(k, 1)
	default:
		return max(1, (w*size+longer/2)/longer), max(1, (h*size+longer/2)/longer)
	}
}

// resize returns the sample's image as RGBA at the size that fit gives.
func resize(s Sample, size int) *image.RGBA {
	src := image.NewRGBA(image.Rect(0, 0, s.Width, s.Height))
	for i := range s.Width * s.Height {
		var r, g, b byte
		if s.Channels == 1 {
			r = s.Pixels[i]
			g, b = r, r
		} else {
			r, g, b = s.Pixels[3*i], s.Pixels[3*i+1], s.Pixels[3*i+2]
		}
		src.Pix[4*i], src.Pix[4*i+1], src.Pix[4*i+2], src.Pix[4*i+3] = r, g, b, 255
	}
	w, h := fit(s.Width, s.Height, size)
	if w == s.Width && h == s.Height {
		return src
	}
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	if w > s.Width {
		draw.NearestNeighbor.Scale(dst, dst.Rect, src, src.Rect, draw.Src, nil)
	} else {
		draw.CatmullRom.Scale(dst, dst.Rect, src, src.Rect, draw.Src, nil)
	}
	return dst
}
