package train

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/vit"
)

// TestLowest: with every scheme, what comes after the frozen blocks gets the gradient that it always gets, to the
// bit, and what comes before none.
func TestLowest(t *testing.T) {
	for name, scheme := range schemes {
		for _, kind := range []tokentest.Kind{tokentest.Kinds[2], tokentest.Kinds[5], tokentest.Kinds[12]} {
			checkLowest(t, name+", "+kind.Name, shards(t, scheme, kind))
		}
	}
}

func checkLowest(t *testing.T, name string, net *Network) {
	t.Helper()
	p := net.params
	for _, lesson := range lessons(p.Config, 6) {
		all, some := vit.NewParams(p.Config), vit.NewParams(p.Config)
		net.lowest = 0
		want, err := net.Step(lesson.b, lesson.loss, all)
		if err != nil {
			t.Fatal(err)
		}
		wantScale, wantCenter := net.gate.scale, net.gate.center
		for first := range p.Config.Layers {
			first++
			net.lowest = first
			got, err := net.Step(lesson.b, lesson.loss, some)
			if err != nil {
				t.Fatal(err)
			}
			if scale, center := net.gate.scale, net.gate.center; got.Loss != want.Loss || scale != wantScale ||
				center != wantCenter {
				t.Errorf("%s, %s, from block %d: loss %v, gates %v %v, want %v, %v %v", name, lesson.name, first,
					got.Loss, scale, center, want.Loss, wantScale, wantCenter)
			}
			learns := false // tensors are in the order of the pass
			for i, g := range some.Tensors() {
				learns = learns || strings.HasPrefix(g.Name, fmt.Sprintf("blocks.%d.", first)) ||
					g.Name == "norm.weight" || g.Name == "fc_norm.weight"
				if learns && !slices.Equal(g.Data, all.Tensors()[i].Data) {
					t.Errorf("%s, %s, from block %d: another gradient of %s", name, lesson.name, first, g.Name)
				}
				if !learns && largest(g.Data) != 0 {
					t.Errorf("%s, %s, from block %d: a gradient of %s", name, lesson.name, first, g.Name)
				}
			}
		}
	}
}

func TestFirstLearnt(t *testing.T) {
	p := tiny(3) // 4 blocks
	for patterns, want := range map[string]int{
		"head.*":                            0,
		"blocks.*":                          0, // the embedding learns
		"*_embed* blocks.[0-1].*":           0, // the class token does
		"cls_token *_embed*":                0, // block 0 does
		"cls_token *_embed* blocks.[0-1].*": 2,
		"*_token *_embed* blocks.[0-2].*  blocks.3.attn.* head.*": 3,
		"cls_token *_embed* blocks.*":                             4,
		"cls_token *_embed* blocks.* norm.*":                      4,
	} {
		frozen, err := Frozen(p, strings.Fields(patterns))
		if err != nil {
			t.Fatal(err)
		}
		if got := firstLearnt(p, frozen); got != want {
			t.Errorf("freeze %s: learns from block %d, want %d", patterns, got, want)
		}
	}
}
