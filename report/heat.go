package report

import "fmt"

// Heat is a map of colours: a column for each epoch, or whatever X is, and a line for each block, the first one below.
type Heat struct {
	Title, XLabel, YLabel string
	X                     []float64   // [n] what the columns stand for, rising
	Values                [][]float64 // [n][blocks]; NaN is left blank
}

func (h Heat) layout() (plot, error) {
	v := newPlot(h.Title, h.XLabel, h.YLabel, plotB)
	if len(h.X) != len(h.Values) {
		return v, fmt.Errorf("report: chart %q: %d values of x and %d columns", h.Title, len(h.X), len(h.Values))
	}
	if len(h.Values) == 0 {
		v.About = "no data"
		return v, nil
	}
	blocks := len(h.Values[0])
	if blocks > maxLayers {
		return v, fmt.Errorf("report: chart %q: %d blocks, want at most %d", h.Title, blocks, maxLayers)
	}
	for i, column := range h.Values {
		if len(column) != blocks {
			return v, fmt.Errorf("report: chart %q: column %d has %d blocks, the first one %d", h.Title, i, len(column), blocks)
		}
	}
	n := min(len(h.Values), maxHeat)
	means, top := make([][]float64, n), 0.0
	for i := range means {
		means[i] = meanOf(h.Values[i*len(h.Values)/n : (i+1)*len(h.Values)/n])
		for _, m := range means[i] {
			if finite(m) {
				top = max(top, m)
			}
		}
	}
	v.About = fmt.Sprintf("%d columns of %d blocks, 0 to %s", len(h.Values), blocks, trimNumber(top))
	v.YLabel = fmt.Sprintf("%s, 0 to %s", h.YLabel, trimNumber(top))
	w, height := (plotR-plotL)/float64(n), (plotB-plotT)/float64(max(blocks, 1))
	for i, column := range means {
		x := plotL + w*float64(i)
		first, last := h.X[i*len(h.Values)/n], h.X[(i+1)*len(h.Values)/n-1]
		name := trimNumber(first)
		if first != last {
			name += "–" + trimNumber(last)
		}
		if i%((n+7)/8) == 0 {
			v.XTicks = append(v.XTicks, tick{xy(x + w/2), trimNumber(first)})
		}
		for l, m := range column {
			if finite(m) {
				v.bar(x, plotB-height*float64(l+1), w+0.3, height+0.3, scaleColor(m/max(top, 1e-30)),
					fmt.Sprintf("%s %s, block %d: %s", h.XLabel, name, l+1, trimNumber(m)))
			}
		}
	}
	for l := 0; l < blocks; l += (blocks + 9) / 10 {
		v.YTicks = append(v.YTicks, tick{xy(plotB - height*(float64(l)+0.5)), fmt.Sprint(l + 1)})
	}
	return v, nil
}

// meanOf returns the mean of each line of some columns, without what is not finite.
func meanOf(columns [][]float64) []float64 {
	out := make([]float64, len(columns[0]))
	for l := range out {
		sum, n := 0.0, 0.0
		for _, c := range columns {
			if finite(c[l]) {
				sum, n = sum+c[l], n+1
			}
		}
		out[l] = sum / n
	}
	return out
}
