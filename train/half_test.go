package train

import (
	"maps"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/vit"
)

// halfNetwork is a network in BF16 with small shards, so that there are several.
func halfNetwork(t *testing.T, p *vit.Params, threads int) *Network {
	t.Helper()
	n, err := newNetwork(p, BF16, threads)
	if err != nil {
		t.Fatal(err)
	}
	n.shardSize, n.largest = 3, 3
	return n
}

// TestHalfGradients: in BF16 every scheme's gradients are those of F32 but for what rounding to 8 bits leaves, where
// the same tokens halt. A number that is rounded is off by 2⁻⁹ of itself at most, the way through four blocks and back
// rounds some forty times, and these errors add up as random ones do.
func TestHalfGradients(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(schemes)) {
		for _, kind := range tokentest.Kinds {
			t.Run(name+"/"+kind.Name, func(t *testing.T) {
				compared := false
				for seed := uint64(1); seed < 30 && !compared; seed++ {
					compared = compareHalf(t, name, kind, seed)
				}
				if !compared {
					t.Skip("rounding moves some token's depth with every seed")
				}
			})
		}
	}
}

// compareHalf reports whether the same tokens halted in both precisions, so that gradients could be compared.
func compareHalf(t *testing.T, name string, kind tokentest.Kind, seed uint64) bool {
	p := tinyOf(seed, kind)
	p.Config.Halting = schemes[name]
	if p.Config.Validate() != nil {
		t.Skip("not for this kind of model")
	}
	const size = 7
	b := randomBatch(p.Config, size, seed)
	loss := someLoss
	loss.PonderBeta, loss.PonderLambda = 0.2, 0.4
	plain, err := NewNetwork(p, 1)
	if err != nil {
		t.Skip(err)
	}
	plain.shardSize = 3
	half := halfNetwork(t, p, 2)
	want, got := vit.NewParams(p.Config), vit.NewParams(p.Config)
	st, err := plain.Step(b, loss, want)
	if err != nil {
		t.Fatal(err)
	}
	sh, err := half.Step(b, loss, got)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(choices(plain, size), choices(half, size)) {
		return false
	}
	if d := math.Abs(sh.Loss - st.Loss); !(d < 0.02*st.Loss) {
		t.Errorf("the loss is %v, in float32 %v", sh.Loss, st.Loss)
	}
	largest := 0.0
	for _, tensor := range want.Tensors() {
		largest = max(largest, rms(tensor.Data))
	}
	gots := got.Tensors()
	for i, tensor := range want.Tensors() {
		difference := make([]float32, len(tensor.Data))
		for j, v := range tensor.Data {
			difference[j] = gots[i].Data[j] - v
		}
		if d := rms(difference); !(d <= 0.1*rms(tensor.Data)+0.01*largest) {
			t.Errorf("%s: differs by %.2g of %.2g (largest %.2g)", tensor.Name, d, rms(tensor.Data), largest)
		}
	}
	return true
}

func rms(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(len(x)))
}

// TestHalfIsDeterministic: in BF16, too, bits depend neither on the threads nor on what a network did before, and an
// image's loss depends on no other image.
func TestHalfIsDeterministic(t *testing.T) {
	p := tiny(7)
	big, small := randomBatch(p.Config, 37, 8), randomBatch(p.Config, 5, 11)
	var first *vit.Params
	for _, threads := range []int{1, 2, 3, 8} {
		n := halfNetwork(t, p, threads)
		grad, scrap := vit.NewParams(p.Config), vit.NewParams(p.Config)
		for range 2 {
			if _, err := n.Step(big, someLoss, grad); err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = vit.NewParams(p.Config)
				copy(first.Data, grad.Data)
			}
			if !slices.Equal(grad.Data, first.Data) {
				t.Fatalf("%d threads give other bits than one, or a network that is used again does", threads)
			}
			if _, err := n.Step(small, someLoss, scrap); err != nil {
				t.Fatal(err)
			}
		}
	}
	plain := Loss{TargetLayer: 2}
	n := halfNetwork(t, p, 1)
	whole := vit.NewParams(p.Config)
	if _, err := n.Step(big, plain, whole); err != nil {
		t.Fatal(err)
	}
	for i := range big.Size {
		label := n.active(big.Size)[i/n.shardSize].decisions[0].label[i%n.shardSize]
		one := Batch{Size: 1, Labels: big.Labels[i : i+1], Load: func(_ int, dst []float32) error { return big.Load(i, dst) }}
		alone := halfNetwork(t, p, 1)
		st, err := alone.Step(one, plain, vit.NewParams(p.Config))
		if err != nil {
			t.Fatal(err)
		}
		if st.CrossEntropy != label {
			t.Errorf("image %d costs %v among others, %v alone", i, label, st.CrossEntropy)
		}
	}
}

// TestHalfMemory: what is kept for the backward pass takes half as much.
func TestHalfMemory(t *testing.T) {
	c, err := vit.Variant("deit-tiny")
	if err != nil {
		t.Fatal(err)
	}
	s, err := newScheme(c)
	if err != nil {
		t.Fatal(err)
	}
	size := func(precision string) float64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		runtime.KeepAlive(newShard(c, s, 4, precision))
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc - before.TotalAlloc)
	}
	plain, half := size(F32), size(BF16)
	t.Logf("a shard of 4 images: %.1f MB in f32, %.1f MB in bf16", plain/1e6, half/1e6)
	if half > 0.53*plain {
		t.Errorf("%.1f MB of %.1f", half/1e6, plain/1e6)
	}
}
