package data

import (
	"math"

	"github.com/adavit/adavit/picture"
)

// Moving a picture's pixels by an affine map, with Pillow's arithmetic: output pixel (x, y) shows the picture at
//
//	(u, v) = (a·(x+½) + b·(y+½) + c,  d·(x+½) + e·(y+½) + f)
//
// in coordinates in which pixel (x, y) has its middle at (x+½, y+½). A point outside of the picture is filled; inside,
// the pixels that interpolation wants beyond the edge repeat the edge's. Unlike in resizing, nothing is low-passed,
// bicubic interpolation has a = −1, and results are cut off, not rounded.

// affineMap is [a, b, c, d, e, f].
type affineMap [6]float64

// translation moves the picture left and up by so many pixels.
func translation(x, y float64) affineMap { return affineMap{1, 0, x, 0, 1, y} }

// rotation turns an h×w picture counter-clockwise about its middle. As in Pillow sine and cosine have fifteen decimals,
// so that those of 30° and 90° are what they should be.
func rotation(degrees float64, h, w int) affineMap {
	turn := math.Mod(degrees, 360)
	if turn < 0 {
		turn += 360
	}
	sin, cos := math.Sincos(-turn * (math.Pi / 180))
	sin, cos = math.RoundToEven(sin*1e15)/1e15, math.RoundToEven(cos*1e15)/1e15
	cx, cy := float64(w)/2, float64(h)/2
	return affineMap{
		cos, sin, float64(cos*-cx) + float64(sin*-cy) + cx,
		-sin, cos, float64(-sin*-cx) + float64(cos*-cy) + cy,
	}
}

// cubicAt is the cubic convolution of four neighbours with a = −1, at t of 0 to 1 between v[1] and v[2].
func cubicAt(v0, v1, v2, v3, t float64) float64 {
	square := float64(2*(v0-v1)) + v2 - v3
	cube := v1 - v0 - v2 + v3
	return v1 + float64(t*(v2-v0+float64(t*(square+float64(t*cube)))))
}

// linearAt is the value at t of 0 to 1 between v0 and v1.
func linearAt(v0, v1, t float64) float64 { return v0 + float64((v1-v0)*t) }

// transform moves the picture; fill has a byte for each channel.
func (p *canvas) transform(m affineMap, filter int, fill []byte) {
	at := sampleCubic
	if filter == picture.Bilinear {
		at = sampleLinear
	}
	n := p.h * p.w
	for y := range p.h {
		yc := float64(y) + 0.5
		for x := range p.w {
			xc := float64(x) + 0.5
			u := float64(m[0]*xc) + float64(m[1]*yc) + m[2]
			v := float64(m[3]*xc) + float64(m[4]*yc) + m[5]
			i := y*p.w + x
			if !(u >= 0 && u < float64(p.w) && v >= 0 && v < float64(p.h)) {
				for ch := range p.c {
					p.spare[ch*n+i] = fill[ch]
				}
				continue
			}
			at(p, i, u-0.5, v-0.5)
		}
	}
	p.take()
}

// sampleCubic writes to spare[…, i] what the picture has at column u and row v, which count from the middle of the
// first pixel.
func sampleCubic(p *canvas, i int, u, v float64) {
	fu, fv := math.Floor(u), math.Floor(v)
	tu, tv := u-fu, v-fv
	x, y := int(fu)-1, int(fv)-1
	var col, row [4]int
	for k := range 4 {
		col[k], row[k] = min(max(x+k, 0), p.w-1), min(max(y+k, 0), p.h-1)*p.w
	}
	n := p.h * p.w
	for at := 0; at < len(p.pix); at += n {
		pix := p.pix[at:][:n]
		var r [4]float64
		for k := range 4 {
			line := pix[row[k]:][:p.w]
			r[k] = cubicAt(float64(line[col[0]]), float64(line[col[1]]),
				float64(line[col[2]]), float64(line[col[3]]), tu)
		}
		p.spare[at+i] = byte(min(max(cubicAt(r[0], r[1], r[2], r[3], tv), 0), 255))
	}
}

// sampleLinear is sampleCubic from the four pixels around the place.
func sampleLinear(p *canvas, i int, u, v float64) {
	fu, fv := math.Floor(u), math.Floor(v)
	tu, tv := u-fu, v-fv
	x, y := int(fu), int(fv)
	x0, x1 := max(x, 0), min(x+1, p.w-1)
	y0, y1 := max(y, 0)*p.w, min(y+1, p.h-1)*p.w
	n := p.h * p.w
	for at := 0; at < len(p.pix); at += n {
		pix := p.pix[at:][:n]
		top := linearAt(float64(pix[y0+x0]), float64(pix[y0+x1]), tu)
		bottom := linearAt(float64(pix[y1+x0]), float64(pix[y1+x1]), tu)
		p.spare[at+i] = byte(linearAt(top, bottom, tv))
	}
}
