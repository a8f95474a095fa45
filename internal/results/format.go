package results

import (
	"encoding/json"
	"io"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/parquet"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
)

// Format begins a table.
type Format func(out io.Writer, embeddings bool) Table

// Table takes one picture after the other: line is c in JSON. Close ends it, but does not close what is written to.
type Table struct {
	Write func(line []byte, c Row) error
	Close func() error
}

// formats are those of tables, by the endings of their files.
var formats = map[string]Format{".jsonl": jsonLines, ".parquet": parquetTable}

// FormatOf returns the format of a file whose name has the ending.
func FormatOf(ending string) (Format, bool) {
	f, ok := formats[ending]
	return f, ok
}

func jsonLines(out io.Writer, _ bool) Table {
	return Table{
		func(line []byte, _ Row) error {
			_, err := out.Write(append(line, '\n'))
			return err
		},
		func() error { return nil },
	}
}

// parquetTable has a row for each picture. error is missing where there is a result, the rest where there is none. A
// table of embeddings has a column for them.
func parquetTable(out io.Writer, embeddings bool) Table {
	columns := []parquet.Column{
		{Name: "file", Type: parquet.String},
		{Name: "class", Type: parquet.Int32, Optional: true},
		{Name: "label", Type: parquet.String, Optional: true},
		{Name: "probability", Type: parquet.Double, Optional: true},
		{Name: "top_classes", Type: parquet.Int32, List: true},
		{Name: "top_labels", Type: parquet.String, List: true},
		{Name: "top_probabilities", Type: parquet.Float, List: true},
		{Name: "tokens", Type: parquet.Int32, Optional: true},
		{Name: "token_share", Type: parquet.Double, Optional: true},
		{Name: "mean_depth", Type: parquet.Double, Optional: true},
		{Name: "blocks", Type: parquet.Int32, Optional: true},
		{Name: "macs", Type: parquet.Int64, Optional: true},
		{Name: "milliseconds", Type: parquet.Double, Optional: true},
		{Name: "error", Type: parquet.String, Optional: true},
	}
	if embeddings {
		columns = append(columns, parquet.Column{Name: "embedding", Type: parquet.Float, List: true})
	}
	w := parquet.NewWriter(out, "adavit", columns...)
	return Table{func(_ []byte, c Row) error {
		row := parquetRow(c)
		if embeddings {
			row = append(row, c.embedding())
		}
		return w.Write(row...)
	}, w.Close}
}

// embedding is that of the result, if there is one.
func (c Row) embedding() []float32 {
	if c.Result == nil {
		return nil
	}
	return c.Embedding
}

func parquetRow(c Row) []any {
	var classes []int32
	var labels []string
	var probabilities []float32
	if c.Result == nil {
		return []any{c.File, nil, nil, nil, classes, labels, probabilities, nil, nil, nil, nil, nil, nil, c.Error}
	}
	for _, p := range c.Top {
		classes, labels = append(classes, int32(p.Class)), append(labels, p.Label)
		probabilities = append(probabilities, float32(p.Probability))
	}
	return []any{c.File, classes[0], labels[0], float64(c.Top[0].Probability), classes, labels, probabilities,
		int32(c.Tokens), c.TokenShare, c.MeanDepth, int32(c.Blocks), c.MACs, c.Milliseconds, nil}
}

// Run describes what the results of a model depend on, for Open: its weights, how pictures become its input, and what
// is asked of it.
func Run(m *vit.Model, o adavit.Options, b adavit.Budget, d picture.Decoding) (string, error) {
	p, err := infer.Resolve(o.Precision, m)
	if err != nil {
		return "", err
	}
	about, err := json.Marshal([]any{m.Params.Config, m.Preprocessor.DecodedBy(d), d.MaxPixels, m.Ladder, p, b,
		o.Embed})
	if err != nil {
		return "", err
	}
	sum, err := m.Params.Checksum(about)
	if err != nil {
		return "", err
	}
	return sum[:32], nil
}
