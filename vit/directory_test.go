package vit

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/adavit/adavit/weights"
)

// TestLoadIJepa: transformers' class for models without a class token, the mean of whose normalised patches decides.
func TestLoadIJepa(t *testing.T) {
	whole, err := Load(hfDir)
	if err != nil {
		t.Fatal(err)
	}
	e := whole.Params.Config.Embed
	files := damaged(t, func(files fstest.MapFS) {
		config := string(files["models/m/"+ConfigFile].Data)
		config = replaced("ViTForImageClassification", "IJepaForImageClassification", `"vit"`, `"ijepa"`)(config)
		files["models/m/"+ConfigFile].Data = []byte(config)
		reencoded(t, files, func(f *weights.File) *weights.File {
			f = renamed(f, replaced("vit.embeddings.cls_token", "", "vit.", "ijepa."))
			for i, x := range f.Tensors {
				if strings.HasSuffix(x.Name, "position_embeddings") {
					f.Tensors[i] = weights.Float32Tensor(x.Name, []int{1, whole.Params.Config.Patches(), e}, whole.Params.Position[e:])
				}
			}
			return f
		})
	})
	m, err := Load(onDisk(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if c := m.Params.Config; !c.NoClassToken || c.Pooling != NormedMean || c.Eps != whole.Params.Config.Eps {
		t.Errorf("%+v", c)
	}
	if !slices.Equal(m.Params.Position, whole.Params.Position[e:]) ||
		!slices.Equal(m.Params.HeadWeight, whole.Params.HeadWeight) {
		t.Error("other parameters")
	}
}

// TestLoadSize: weights that are much more than the configuration's are not read; MAE's decoder may be beside a small
// ViT.
func TestLoadSize(t *testing.T) {
	dir := onDisk(t, damaged(t, func(fstest.MapFS) {}))
	for size, refused := range map[int64]bool{105 << 20: false, 300 << 20: true} {
		if err := os.Truncate(filepath.Join(dir, WeightsFile), size); err != nil {
			t.Fatal(err)
		}
		_, err := Load(dir) // zeros behind the tensors are wrong, too
		if err == nil || strings.Contains(err.Error(), "bytes, expected at most") != refused {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
