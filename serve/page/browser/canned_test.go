package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"image"
	"image/png"
	"os"
	"strings"
	"testing"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/vit"
)

var update = flag.String("update", "", "calibrated model `directory` that makes the answers anew")

const answersFile = "testdata/answers.json"

// canned is what the played server knows: a model's measured budgets, and its answers for some pictures.
type canned struct {
	Labels   []string   `json:"labels"`
	Rungs    []vit.Rung `json:"rungs"`
	Pictures []picture  `json:"pictures"`
}

// picture is a picture file with the answers for each rung, and the one that the model gives as it stands.
type picture struct {
	Name    string   `json:"name"`
	PNG     []byte   `json:"png"`
	Default answer   `json:"default"`
	Answers []answer `json:"answers"`
}

// answer is the part of an answer that follows from the picture.
type answer struct {
	Top         []adavit.Prediction `json:"top"`
	TokenBlocks int                 `json:"token_blocks"`
	MeanDepth   float64             `json:"mean_depth"`
	Blocks      int                 `json:"blocks"`
	MACs        int64               `json:"macs"`
	Depth       []int               `json:"depth"`
}

// The model of the answers.
const (
	cannedLayers      = 12
	cannedTokens      = 50
	cannedDenseBlocks = cannedLayers * cannedTokens
	cannedDenseMACs   = 72191424
)

// readCanned returns testdata/answers.json.
func readCanned(t *testing.T) *canned {
	t.Helper()
	text, err := os.ReadFile(answersFile)
	if err != nil {
		t.Fatal(err)
	}
	c := new(canned)
	if err := json.Unmarshal(text, c); err != nil {
		t.Fatalf("%s: %v", answersFile, err)
	}
	return c
}

// TestAnswers holds the answers to what the tests count on; with -update it makes them.
func TestAnswers(t *testing.T) {
	if *update != "" {
		makeAnswers(t, *update)
	}
	c := readCanned(t)
	if len(c.Pictures) != 3 || len(c.Rungs) < 3 {
		t.Fatalf("%d pictures, %d budgets", len(c.Pictures), len(c.Rungs))
	}
	for _, p := range c.Pictures {
		if _, err := png.Decode(bytes.NewReader(p.PNG)); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if len(p.Answers) != len(c.Rungs) {
			t.Errorf("%s: %d answers to %d budgets", p.Name, len(p.Answers), len(c.Rungs))
		}
		for i, a := range append(p.Answers, p.Default) {
			sum := 0
			for _, d := range a.Depth {
				sum += d
			}
			if len(a.Top) != 5 || len(a.Depth) != cannedTokens || sum != a.TokenBlocks || a.MACs <= 0 ||
				a.MACs > cannedDenseMACs {
				t.Errorf("%s, answer %d: %d classes, %d depths, %d of %d token-blocks, %d MACs", p.Name, i, len(a.Top),
					len(a.Depth), sum, a.TokenBlocks, a.MACs)
			}
		}
		if first, last := p.Answers[0], p.Answers[len(p.Answers)-1]; first.TokenBlocks >= last.TokenBlocks {
			t.Errorf("%s: the least budget costs %d token-blocks, the largest %d", p.Name, first.TokenBlocks,
				last.TokenBlocks)
		}
	}
}

// makeAnswers classifies three test images within budgets at least 0.03 apart.
func makeAnswers(t *testing.T, dir string) {
	m, err := adavit.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	classifier, err := adavit.NewClassifier(m, adavit.Options{Precision: adavit.F32})
	if err != nil {
		t.Fatal(err)
	}
	defer classifier.Close()
	images, err := datasets.FashionMNISTTest()
	if err != nil {
		t.Fatal(err)
	}
	c := canned{Labels: images.Classes()}
	for _, r := range m.Ladder {
		if n := len(c.Rungs); n == 0 || r.Mean > c.Rungs[n-1].Mean+0.03 || r.Mean == 1 {
			c.Rungs = append(c.Rungs, r)
		}
	}
	for _, i := range []int{0, 1, 30} { // an ankle boot, a pullover, a bag
		img := image.NewGray(image.Rect(0, 0, 28, 28))
		if err := images.Pixels(img.Pix, i); err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := png.Encode(&file, img); err != nil {
			t.Fatal(err)
		}
		name := strings.ReplaceAll(strings.ToLower(c.Labels[images.Label(i)]), " ", "-") + ".png"
		p := picture{Name: name, PNG: file.Bytes()}
		for k := -1; k < len(c.Rungs); k++ {
			var budget adavit.Budget
			if k >= 0 {
				budget.Mean = c.Rungs[k].Mean
			}
			r, err := classifier.Classify(context.Background(), img, budget)
			if err != nil {
				t.Fatal(err)
			}
			a := answer{r.Top, r.Tokens, r.MeanDepth, r.Blocks, r.MACs, r.Depth}
			if k < 0 {
				p.Default = a
			} else {
				p.Answers = append(p.Answers, a)
			}
		}
		c.Pictures = append(c.Pictures, p)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	for _, part := range bytes.SplitAfter(text, []byte("},{")) { // an answer a line, for the eye and for git
		lines.Write(bytes.TrimSuffix(part, []byte("{")))
		if bytes.HasSuffix(part, []byte("},{")) {
			lines.WriteString("\n{")
		}
	}
	lines.WriteByte('\n')
	if err := os.WriteFile(answersFile, lines.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
