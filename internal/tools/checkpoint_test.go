package tools

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/weights"
)

// TestConvertCheckpoints converts what PyTorch, timm and transformers saved and compares the logits with theirs,
// without and with halting.
func TestConvertCheckpoints(t *testing.T) {
	const micro, hf, deit = "../../testdata/reference/micro.safetensors", "../../vit/testdata/hf_vit/expect.safetensors",
		"../../vit/testdata/hf_deit_distilled/expect.safetensors"
	avit := halting.Config{Scheme: "token"}.With("gate_scale", 5).With("gate_center", 2)
	for _, v := range []struct {
		source, expect, logits string
		heads                  int
		halting                *halting.Config
		note                   string
		tolerance              float64
	}{
		{"../../weights/testdata/pth/deit.pth", micro, "expect.dense_logits", 2, nil, "", 1e-4},
		{"../../weights/testdata/pth/deit_legacy.pth", micro, "expect.dense_logits", 2, nil, "", 1e-4},
		{"../../weights/testdata/pth/deit_f16.pth", micro, "expect.dense_logits", 2, nil, "", 5e-3},
		{"../../weights/testdata/pth/avit_training.pth", micro, "expect.dense_logits", 2, nil, "add --halting 5,2", 1e-4},
		{"../../weights/testdata/pth/avit_training.pth", micro, "expect.logits", 2, &avit,
			`entry "model" of model, model_ema`, 1e-4},
		{"../../vit/testdata/timm_vit.safetensors", hf, "logits", 2, nil, "", 1e-4},
		{"../../vit/testdata/hf_vit", hf, "logits", 0, nil, "", 1e-4},
		{"../../vit/testdata/hf_deit_distilled", deit, "logits", 0, nil, "", 1e-4},
	} {
		t.Run(fmt.Sprintf("%s to %s", filepath.Base(v.source), v.logits), func(t *testing.T) {
			dst := filepath.Join(t.TempDir(), "m")
			done, err := Convert(context.Background(), v.source, dst, ConvertOptions{Heads: v.heads, Halting: v.halting})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(done.Notes, "\n"), v.note) {
				t.Errorf("notes %q, want %q", done.Notes, v.note)
			}
			m, err := adavit.Open(dst)
			if err != nil {
				t.Fatal(err)
			}
			expect, err := weights.ReadSafetensors(v.expect)
			if err != nil {
				t.Fatal(err)
			}
			// Predict takes "input" as it stands in the file of expectations.
			out, err := Predict(context.Background(), m, v.expect, expect, PredictOptions{})
			if err != nil {
				t.Fatal(err)
			}
			want, _ := expect.Get(v.logits)
			exact, err := want.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range out {
				if x.Name != "logits" {
					continue
				}
				got, err := x.Float32s()
				if err != nil || len(got) != len(exact) {
					t.Fatalf("%d logits, want %d (%v)", len(got), len(exact), err)
				}
				for i := range got {
					if !(math.Abs(float64(got[i]-exact[i])) <= v.tolerance) {
						t.Fatalf("logit %d is %v, want %v", i, got[i], exact[i])
					}
				}
				return
			}
			t.Fatal("no logits")
		})
	}
}

func TestReadLabels(t *testing.T) {
	file := filepath.Join(t.TempDir(), "labels")
	for text, want := range map[string]string{"a\nb b\r\n": "a|b b", "a": "a", "a\n\nb\n": "line 2 is empty",
		"\ufeffa\r\nb": "a|b", "\xff\xfea\x00\n\x00b\x00": "a|b", "caf\xe9": "save it so", "": "line 1 is empty"} {
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := readLabels(file)
		if err != nil {
			got = []string{err.Error()}
		}
		if s := strings.Join(got, "|"); s != want && (err == nil || !strings.Contains(s, want)) {
			t.Errorf("%q: %q, want %q", text, s, want)
		}
	}
	if _, err := readLabels(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
}
