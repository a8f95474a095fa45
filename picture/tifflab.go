package picture

import (
	"math"
	"sync"
)

// CIE L*a*b*. Pillow converts it by LittleCMS, which tabulates L*a*b* (D50) to sRGB on a grid and interpolates between
// four of its nodes. All of the 2²⁴ colours come out as they do there.

// labSide is the number of nodes along each axis.
const labSide = 33

// labNodes are the colours at the nodes, 16 bits each, L* being the slowest axis and b* the fastest.
var labNodes = sync.OnceValue(func() (nodes [][3]uint16) {
	// From XYZ, of which 1 stands for 2 − 2⁻¹⁵, adapted from D65 to D50 after Bradford, to linear red, green and blue.
	toRGB := [3][3]float64{
		{6.26827708069641, -3.234368564695801, -0.9813731532183346},
		{-1.9574671393474479, 3.8322017178972496, 0.06686577801362038},
		{0.14392565943970476, -0.4579807585679834, 2.8114645655935213},
	}
	place := func(i int) float64 { // 0 … 1, as 16 bits round it
		return float64(float32(math.Floor(float64(i)*65535/(labSide-1)+0.5) / 65535))
	}
	for i := range labSide * labSide * labSide {
		l := place(i/labSide/labSide) * 100
		a, b := place(i/labSide%labSide)*255-128, place(i%labSide)*255-128
		y := (l + 16) / 116
		xyz := [3]float64{labLinear(y+a*0.002) * 0.9642, labLinear(y), labLinear(y-b*0.005) * 0.8249}
		var node [3]uint16
		for c, row := range toRGB {
			var v float64
			for k, weight := range row {
				v += float64(weight * float64(float32(xyz[k]/(2-1.0/(1<<15)))))
			}
			if v = float64(float32(v)); v >= 0.00313080495 {
				v = (math.Pow(v, 1/2.4) - 0.055/1.055) * 1.055
			} else {
				v *= 12.92
			}
			node[c] = uint16(min(max(math.Floor(float64(float32(v))*65535+0.5), 0), 65535))
		}
		nodes = append(nodes, node)
	}
	return nodes
})

// labLinear undoes the cube root in L*a*b*, which is a line near 0.
func labLinear(t float64) float64 {
	if t <= 24.0/116 {
		return 108.0 / 841 * (t - 16.0/116)
	}
	return t * t * t
}

// labRGB is the colour of L*, 0 … 255 for 0 … 100, and of a* and b*, each plus 128.
func labRGB(l, a, b byte) (rgb [3]byte) {
	// From the lowest node of its cell a colour goes along the axes, the one of the largest part of a cell first, and
	// each part counts by the difference that its step makes.
	type step struct{ part, size int }
	at, steps := 0, [3]step{}
	for i, v := range [3]byte{l, a, b} {
		place := int(v) * 257 * (labSide - 1)
		place += (place + 0x7fff) / 0xffff // now in 2⁻¹⁶ cells
		size := [3]int{labSide * labSide, labSide, 1}[i]
		at += place >> 16 * size
		steps[i] = step{place & 0xffff, size}
	}
	for _, i := range [3]int{0, 1, 0} { // sorts three
		if steps[i].part < steps[i+1].part {
			steps[i], steps[i+1] = steps[i+1], steps[i]
		}
	}
	nodes := labNodes()
	for c := range rgb {
		first, sum, here := int(nodes[at][c]), 0x8001, at
		for _, s := range steps {
			if s.part > 0 {
				sum += s.part * (int(nodes[here+s.size][c]) - int(nodes[here][c]))
				here += s.size
			}
		}
		wide := first + (sum+sum>>16)>>16
		rgb[c] = byte((wide*65281 + 1<<23) >> 24)
	}
	return rgb
}
