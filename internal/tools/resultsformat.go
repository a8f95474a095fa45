package tools

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/parquet"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
)

// resultsFormat begins a table of results.
type resultsFormat func(io.Writer) resultsTable

// resultsTable takes one picture after the other: line is c in JSON.
type resultsTable struct {
	write func(line []byte, c Classified) error
	close func() error
}

// resultsFormats are those of the files that Results writes, by their endings.
var resultsFormats = map[string]resultsFormat{".jsonl": jsonLines, ".parquet": parquetTable}

func jsonLines(out io.Writer) resultsTable {
	return resultsTable{
		func(line []byte, _ Classified) error {
			_, err := out.Write(append(line, '\n'))
			return err
		},
		func() error { return nil },
	}
}

// parquetTable has a row for each picture. error is missing where there is a result, the rest where there is none.
func parquetTable(out io.Writer) resultsTable {
	w := parquet.NewWriter(out, "adavit", []parquet.Column{
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
	}...)
	return resultsTable{func(_ []byte, c Classified) error { return w.Write(parquetRow(c)...) }, w.Close}
}

func parquetRow(c Classified) []any {
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

// ResultsRun describes what the results of a model depend on, for NewResults: its weights, how pictures become its
// input, and what is asked of it.
func ResultsRun(m *vit.Model, p infer.Precision, b infer.Budget, d picture.Decoding) (string, error) {
	p, err := infer.Resolve(p, m)
	if err != nil {
		return "", err
	}
	about, err := json.Marshal([]any{m.Params.Config, m.Preprocessor.DecodedBy(d), d.MaxPixels, m.Ladder, p, b})
	if err != nil {
		return "", err
	}
	h := sha256.New()
	h.Write(about)
	var chunk []byte
	for data := m.Params.Data; len(data) > 0; data = data[min(len(data), 1<<14):] {
		chunk = chunk[:0]
		for _, v := range data[:min(len(data), 1<<14)] {
			chunk = binary.LittleEndian.AppendUint32(chunk, math.Float32bits(v))
		}
		h.Write(chunk)
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}
