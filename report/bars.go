package report

import (
	"fmt"
	"image/color"
	"sort"
)

const (
	maxBarLabels = 16 // more bars than this are not labelled one by one
	maxSlots     = 64 // swatches of a legend
	maxClasses   = 20 // classes that are listed
)

func hex(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// inkOn returns black or white, whichever is easier to read on c.
func inkOn(c color.RGBA) color.RGBA {
	if luma(c) < 130 {
		return color.RGBA{255, 255, 255, 255}
	}
	return color.RGBA{0, 0, 0, 255}
}

// depthBars draws the share of tokens by depth (counts[d-1] ran in d blocks) as
// bars in the depths' own colours.
func depthBars(counts []int) chartView {
	v := underAxis(plotB)
	v.Title, v.XLabel, v.YLabel = "Tokens by depth", "blocks a token ran in", "share of tokens"
	total, most, sum := 0, 0, 0
	for i, n := range counts {
		n = max(n, 0)
		total, most, sum = total+n, max(most, n), sum+n*(i+1)
	}
	if total == 0 {
		v.About = "no data"
		v.YTicks = []tick{{xy(plotB), "0%"}, {xy(plotT), "100%"}}
		return v
	}
	v.About = fmt.Sprintf("mean %s of %d blocks", number(float64(sum)/float64(total), 2), len(counts))
	ys := newScale(0, 1.06*float64(most)/float64(total), plotB, plotT, false)
	for _, t := range ys.ticks(5) {
		v.YTicks = append(v.YTicks, tick{xy(ys.at(t.v)), t.label(true)})
	}
	slot := (plotR - plotL) / float64(len(counts))
	every := (len(counts) + maxBarLabels - 1) / maxBarLabels
	for i, n := range counts {
		share := float64(max(n, 0)) / float64(total)
		x, y := plotL+slot*float64(i), ys.at(share)
		b := barView{
			X: xy(x + slot*0.08), Y: xy(y), W: xy(slot * 0.84), H: xy(plotB - y), Fill: hex(DepthColor(i+1, len(counts))),
			About: fmt.Sprintf("%d of %d tokens (%s%%) ran in %d blocks", max(n, 0), total, number(100*share, 1), i+1),
		}
		if len(counts) <= maxBarLabels && n > 0 {
			text := number(100*share, 0)
			if share < 0.005 {
				text = "<1"
			}
			b.Texts = []textView{{X: xy(x + slot/2), Y: xy(y - 3), Class: "middle", Text: text}}
		}
		v.Bars = append(v.Bars, b)
		if i%every == 0 {
			v.XTicks = append(v.XTicks, tick{xy(x + slot/2), fmt.Sprint(i + 1)})
		}
	}
	return v
}

// placeMap draws the mean depth of the patch at each place of a gridH×gridW grid;
// NaN for a place without a value.
func placeMap(mean []float64, gridW, gridH, layers int) chartView {
	const side, top = 192.0, 8.0
	v := chartView{Title: "Mean depth by place", YLabel: "blocks", Height: xy(chartH)}
	cell := min(side/float64(gridH), (chartW-16)/float64(gridW))
	left := (chartW - cell*float64(gridW)) / 2
	for k, m := range mean {
		c := goneRGB
		if finite(m) {
			c = ScaleColor((m - 1) / float64(max(layers-1, 1)))
		}
		x, y := left+cell*float64(k%gridW), top+cell*float64(k/gridW)
		b := barView{
			X: xy(x), Y: xy(y), W: xy(cell + 0.3), H: xy(cell + 0.3), Fill: hex(c),
			About: fmt.Sprintf("line %d, column %d: %s blocks", k/gridW+1, k%gridW+1, number(m, 2)),
		}
		if cell >= 22 {
			b.Texts = []textView{{X: xy(x + cell/2), Y: xy(y + cell/2 + 4), Class: "middle", Fill: hex(inkOn(c)), Text: number(m, 1)}}
		}
		v.Bars = append(v.Bars, b)
	}
	v.About = fmt.Sprintf("%d lines of %d patches", gridH, gridW)
	return v
}

// classBars lists classes by their mean depth, the deepest first; of many classes
// the two ends.
func classBars(classes []ClassMean, layers int) chartView {
	v := chartView{Title: "Mean depth by class", YLabel: "blocks"}
	list := append([]ClassMean(nil), classes...)
	sort.SliceStable(list, func(i, j int) bool { return list[i].Mean > list[j].Mean })
	if len(list) > maxClasses {
		v.Title = "Deepest and shallowest classes"
		list = append(list[:maxClasses/2:maxClasses/2], list[len(list)-maxClasses/2:]...)
	}
	const pitch, left, right = 19.0, 118.0, 318.0
	longest := 1.0
	for _, c := range list {
		longest = max(longest, c.Mean)
	}
	for i, c := range list {
		y := 6 + pitch*float64(i)
		w := (right - left) * max(c.Mean, 0) / longest
		name := []rune(oneLine(c.Name))
		if len(name) > 18 {
			name = append(name[:17], '…')
		}
		v.Bars = append(v.Bars, barView{
			X: xy(left), Y: xy(y), W: xy(w), H: xy(pitch - 5), Fill: hex(ScaleColor((c.Mean - 1) / float64(max(layers-1, 1)))),
			About: fmt.Sprintf("%s: %s blocks, mean of %d images", c.Name, number(c.Mean, 2), c.Images),
			Texts: []textView{
				{X: xy(left - 6), Y: xy(y + 11), Class: "end", Text: string(name)},
				{X: xy(left + w + 5), Y: xy(y + 11), Class: "start", Text: number(c.Mean, 2)},
			},
		})
	}
	v.Height = xy(12 + pitch*float64(len(list)))
	v.About = fmt.Sprintf("%d classes", len(classes))
	return v
}
