package report

// Style returns the style sheet that all pages share, those of other packages too: the colours, light and dark, as
// variables, and how charts look.
func Style() string { return plotStyle }

// Scale returns the colours of depths as #rrggbb: from that of one block to that of all, evenly spaced, to be mixed
// evenly between neighbours. gone is the colour of a patch that does not run.
func Scale() (colors []string, gone string) {
	for _, c := range viridis {
		colors = append(colors, hex(rgb(c)))
	}
	return colors, hex(goneRGB)
}
