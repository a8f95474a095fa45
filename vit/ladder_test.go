package vit

import (
	"bytes"
	"encoding/json"
	"math"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/internal/strictjson"
	"github.com/adavit/adavit/weights"
)

// laddered is a small model with a ladder, of whose rungs the first has all figures and the second none.
func laddered(t *testing.T) *Model {
	m, top1 := microModel(t, 1), 91.5
	c := &m.Params.Config
	c.Halting = halting.Config{Scheme: "token"}
	m.Ladder = []Rung{
		{0.4, map[string]float64{"gate_center": 20, "epsilon": 0.02}, Figures{27.2, 44, 5e5, &top1, 96.25, 0.31, 0.125}},
		{Mean: 1},
	}
	m.Calibration = Calibration{Data: "photos", Part: "validation", Images: 2000, Precision: "int8", Threads: 2,
		Machine: "one of two cores", Date: "2026-12-31", DenseTokenBlocks: c.Tokens() * c.Layers, DenseMACs: c.MACs(nil)}
	return m
}

// TestLadder: a ladder is read as it was written, with the model and by itself, and one that makes no sense or that the
// model's scheme cannot follow is refused.
func TestLadder(t *testing.T) {
	m, dir := laddered(t), t.TempDir()
	filetest.Check(t, Save(dir, m, weights.F32))
	same := func() {
		t.Helper()
		got, err := Load(dir)
		filetest.Check(t, err)
		if diff := cmp.Diff(m.Ladder, got.Ladder) + cmp.Diff(m.Calibration, got.Calibration); diff != "" {
			t.Error(diff)
		}
		if c := got.Ladder[0].Apply(got.Params.Config.Halting); c.Number("gate_center") != 20 {
			t.Errorf("the first rung makes %v", c)
		}
	}
	same()
	before := read(t, dir)
	m.Ladder[0].Mean, m.Calibration.Date = 0.45, "2027-01-01"
	filetest.Check(t, SaveLadder(dir, m))
	same()
	after := read(t, dir)
	if after[LadderFile] == before[LadderFile] {
		t.Error("the new ladder is the old one")
	}
	delete(before, LadderFile)
	delete(after, LadderFile)
	if !cmp.Equal(before, after) {
		t.Error("other files than the ladder have changed")
	}
	for text, want := range map[string]string{
		`{"rungs":[{"mean":0}]}`:                                            "budgets.json: rung 0 costs 0 of the dense",
		`{"rungs":[{"mean":1.5}]}`:                                          "costs 1.5",
		`{"rungs":[{"mean":0.5},{"mean":0.5}]}`:                             "the one before it 0.5",
		`{"rungs":[{"mean":0.4},{"mean":0.5,"constants":{"keep":0.5}}]}`:    "budgets.json: rung 1: halting",
		`{"rungs":[{"mean":0.5,"constants":{"epsilon":7}}]}`:                "epsilon is 7",
		`{"rungs":[{"mean":0.5,"constants":{"gate_center":"everywhere"}}]}`: "budgets.json",
		`{"rungs":[{"mean":0.5,"top1":100.5}]}`:                             "rung 0: top1 is 100.5, want 0 to 100",
		`{"rungs":[{"mean":0.5,"ms":-1}]}`:                                  "ms is -1",
		`{"rungs":[{"mean":0.5,"token_blocks":1000}]}`:                      "1000 token-blocks",
		`{"dense_token_blocks":67,"rungs":[]}`:                              "a model of 67 token-blocks, this one has 68",
		`{"images":-2}`:                                                     "-2 images",
		`{"rungs":[{"mean":0.5,"mean":0.6}]}`:                               `"rungs.0": key "mean" appears twice`,
		`{`:                                                                 "budgets.json: invalid JSON",
	} {
		filetest.Write(t, []byte(text), filepath.Join(dir, LadderFile))
		_, err := Load(dir)
		filetest.WantError(t, err, want)
	}
}

// TestSaveLadderFails: a ladder that cannot be read again is not written, and what was there stays.
func TestSaveLadderFails(t *testing.T) {
	m, dir := laddered(t), t.TempDir()
	filetest.Check(t, Save(dir, m, weights.F32))
	before := read(t, dir)
	m.Ladder[1].NLL = math.Inf(1)
	filetest.WantError(t, SaveLadder(dir, m), "budgets.json", "rung 1", "nll is +Inf")
	m.Ladder[1].NLL, m.Ladder[0].Constants = 0, map[string]float64{"keep": 1}
	filetest.WantError(t, SaveLadder(dir, m), dir, "keep")
	if !cmp.Equal(before, read(t, dir)) {
		t.Error("the directory has changed")
	}
	m.Ladder = m.Ladder[1:]
	if err := SaveLadder(filepath.Join(dir, "none"), m); err == nil {
		t.Error("a ladder without a directory")
	}
}

// FuzzLadder: whatever is read comes back as it was written.
func FuzzLadder(f *testing.F) {
	f.Add([]byte(`{"rungs":[{"mean":0.4,"constants":{"gate_center":20}},{"mean":1,"top1":0,"ms":3.5}]}`))
	f.Add([]byte(`{"data":"x","images":7,"dense_token_blocks":68,"date":"yesterday","more":[{}]}`))
	c := microModel(f, 1).Params.Config
	c.Halting = halting.Config{Scheme: "token"}
	f.Fuzz(func(t *testing.T, text []byte) {
		var l, again ladder
		if strictjson.UnmarshalKnown(text, &l) != nil || l.check(&c) != nil {
			return
		}
		for _, r := range l.Rungs {
			if _, err := halting.New(r.Apply(c.Halting)); err != nil {
				t.Fatal(err)
			}
		}
		written, err := marshalLadder(&Model{Params: &Params{Config: c}, Ladder: l.Rungs, Calibration: l.Calibration})
		if err != nil {
			t.Fatal(err)
		}
		if err := strictjson.UnmarshalKnown(written, &again); err != nil {
			t.Fatalf("%v in %s", err, written)
		}
		rewritten, err := json.MarshalIndent(again, "", "  ")
		if err != nil || !bytes.Equal(bytes.TrimSpace(written), rewritten) {
			t.Fatalf("%s\ncomes back as\n%s, %v", written, rewritten, err)
		}
	})
}

// TestWithHalting: a model that gets other constants keeps nothing that was measured with the old ones.
func TestWithHalting(t *testing.T) {
	m := laddered(t)
	m.PrecisionLoss = map[string]float64{"int8": 0.2}
	now := m.Params.Config.Halting
	if q := m.WithHalting(now); q.PrecisionLoss["int8"] != 0.2 || len(q.Ladder) != 2 || q.Calibration.Images != 2000 {
		t.Errorf("the same constants: %+v, %+v, %+v", q.PrecisionLoss, q.Ladder, q.Calibration)
	}
	q := m.WithHalting(now.With("epsilon", 0.3))
	if q.PrecisionLoss != nil || q.Ladder != nil || q.Calibration != (Calibration{}) {
		t.Errorf("other constants: %+v, %+v, %+v", q.PrecisionLoss, q.Ladder, q.Calibration)
	}
	if q.Params.Config.Halting.Number("epsilon") != 0.3 || m.Params.Config.Halting.Number("epsilon") == 0.3 ||
		&q.Params.Data[0] != &m.Params.Data[0] {
		t.Error("it is not a copy with the same weights")
	}
}
