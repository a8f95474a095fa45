package report

import "fmt"

// depthBars draws the share of tokens by depth (entry d−1 ran in d blocks).
func depthBars(counts []int) plot {
	return blockBars(newPlot("Tokens by depth", "blocks a token ran in", "share of tokens", plotB), counts,
		"tokens (%s%%) ran in %d blocks")
}

// endBars draws the share of images by the block in which they ended (entry l−1 in block l).
func endBars(counts []int) plot {
	return blockBars(newPlot("Images by their end", "block in which an image ended", "share of images", plotB), counts,
		"images (%s%%) ended in block %d")
}

// blockBars draws counts (entry l−1 of block l, or of a depth of l) as bars in the depths' own colours; about says what
// a share and its block are.
func blockBars(v plot, counts []int, about string) plot {
	total, most, sum := 0, 0, 0
	for i, n := range counts {
		total, most, sum = total+n, max(most, n), sum+n*(i+1)
	}
	if total == 0 {
		v.About = "no data"
		v.YTicks = []tick{{xy(plotB), "0%"}, {xy(plotT), "100%"}}
		return v
	}
	v.About = fmt.Sprintf("mean %s of %d blocks", number(float64(sum)/float64(total), 2), len(counts))
	ys := newScale(span{0, 1.06 * float64(most) / float64(total)}, plotB, plotT)
	v.YTicks = ys.ticks(5, true)
	slot := (plotR - plotL) / float64(len(counts))
	every := (len(counts) + maxBarLabels - 1) / maxBarLabels
	for i, n := range counts {
		share := float64(n) / float64(total)
		x, y := plotL+slot*float64(i), ys.at(share)
		var texts []textView
		if len(counts) <= maxBarLabels && n > 0 {
			text := number(100*share, 0)
			if share < 0.005 {
				text = "<1"
			}
			texts = append(texts, word(x+slot/2, y-3, "middle", text))
		}
		v.bar(x+slot*0.08, y, slot*0.84, plotB-y, depthColor(float64(i+1), len(counts)),
			fmt.Sprintf("%d of %d "+about, n, total, number(100*share, 1), i+1), texts...)
		if i%every == 0 {
			v.XTicks = append(v.XTicks, tick{xy(x + slot/2), fmt.Sprint(i + 1)})
		}
	}
	return v
}

// placeMap draws the mean depth of the patch at each place of a gridH×gridW grid; NaN for a place without a value.
func placeMap(means []float64, gridW, gridH, layers int) plot {
	const side, top = 192.0, 8.0
	v := plot{Title: "Mean depth by place", YLabel: "blocks", Height: xy(chartH)}
	v.About = fmt.Sprintf("%d lines of %d patches", gridH, gridW)
	cell := min(side/float64(gridH), (chartW-16)/float64(gridW))
	left := (chartW - cell*float64(gridW)) / 2
	for k, mean := range means {
		c := depthColor(mean, layers)
		x, y := left+cell*float64(k%gridW), top+cell*float64(k/gridW)
		var texts []textView
		if cell >= 22 {
			texts = append(texts, word(x+cell/2, y+cell/2+4, "middle", number(mean, 1)))
			texts[0].Fill = hex(inkOn(c))
		}
		v.bar(x, y, cell+0.3, cell+0.3, c,
			fmt.Sprintf("line %d, column %d: %s blocks", k/gridW+1, k%gridW+1, number(mean, 2)), texts...)
	}
	return v
}

// classBars lists classes, the cheapest first as Tally.Classes has them, with their mean depths and top-1; of many
// classes the two ends.
func classBars(classes []ClassMean, layers int) plot {
	const pitch, left, right, percent = 19.0, 118.0, 272.0, 352.0
	v := plot{Title: "Mean depth by class", YLabel: "blocks · top-1", About: fmt.Sprintf("%d classes", len(classes))}
	list := TwoEnds(classes, maxClasses)
	if len(list) < len(classes) {
		v.Title = "Cheapest and dearest classes"
	}
	v.Height = xy(12 + pitch*float64(len(list)))
	longest := max(1, list[len(list)-1].Depth)
	for i, class := range list {
		y, w := 6+pitch*float64(i), (right-left)*class.Depth/longest
		v.bar(left, y, w, pitch-5, depthColor(class.Depth, layers),
			fmt.Sprintf("%s: %s blocks, mean of %d images, of which %s %% were classified rightly", class.Name,
				number(class.Depth, 2), class.Images, number(class.Top1, 1)),
			word(left-6, y+11, "end", short(class.Name, 18)), word(left+w+5, y+11, "start", number(class.Depth, 2)),
			word(percent, y+11, "end", number(class.Top1, 1)+" %"))
	}
	return v
}
