package report

import "time"

// ComparisonPage is a report on several trained schemes. Parts that are empty are left out. Its tables may lead to files beside it.
type ComparisonPage struct {
	Title, Subtitle string
	Machine         string
	Date            time.Time
	Facts           []Fact
	Table           Table // the comparison
	Scatters        []Scatter
	Charts          []Chart
	Tables          []Table   // further ones, such as each run
	Settings        []Setting // what all runs share
	Notes           []string
}

// WriteComparison writes p as one HTML file, as WriteHTML does.
func WriteComparison(path string, p ComparisonPage) error {
	b, err := ComparisonHTML(p)
	if err != nil {
		return err
	}
	return writeFile(path, b)
}

// ComparisonHTML returns the page that WriteComparison writes.
func ComparisonHTML(p ComparisonPage) ([]byte, error) {
	v := view{Title: p.Title, Subtitle: p.Subtitle, Byline: byline(p.Machine, p.Date), Facts: p.Facts, Settings: p.Settings, Notes: p.Notes}
	if len(p.Table.Columns) > 0 {
		v.Table = p.Table.view()
	}
	for _, s := range p.Scatters {
		c, err := s.layout()
		if err != nil {
			return nil, err
		}
		v.Charts = append(v.Charts, c)
	}
	if err := v.addCharts(p.Charts); err != nil {
		return nil, err
	}
	for _, t := range p.Tables {
		v.Tables = append(v.Tables, t.view())
	}
	return v.render()
}
