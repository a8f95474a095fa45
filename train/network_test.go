package train

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/vit"
)

// tiny is a model small enough for finite differences, whose tokens halt at different depths.
func tiny(seed uint64) *vit.Params { return tinyOf(seed, tokentest.Kinds[0]) }

func tinyOf(seed uint64, kind tokentest.Kind) *vit.Params {
	c := vit.Config{Embed: 12, Heads: 2, Layers: 4, Hidden: 20, Height: 8, Width: 12, Patch: 4,
		Channels: 2, Classes: 3, Eps: 1e-6,
		Halting: halting.Config{Scheme: "token"}.With("gate_scale", 3).With("gate_center", 0.8)}
	kind.Set(&c)
	p := vit.Initialize(c, seed, 0.3)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range p.Data {
		p.Data[i] += float32(r.NormFloat64()) * 0.1
	}
	return p
}

func randomBatch(c vit.Config, size int, seed uint64) Batch {
	r := rand.New(rand.NewPCG(seed, 2))
	pixels := make([]float32, size*c.Channels*c.Height*c.Width)
	for i := range pixels {
		pixels[i] = float32(r.NormFloat64())
	}
	labels := make([]int32, size)
	for i := range labels {
		labels[i] = int32(r.IntN(c.Classes))
	}
	one := len(pixels) / size
	return Batch{Size: size, Labels: labels, Seed: seed, Load: func(i int, dst []float32) error {
		copy(dst, pixels[i*one:(i+1)*one])
		return nil
	}}
}

var someLoss = Loss{LabelSmoothing: 0.1, AlphaPonder: 0.05, AlphaPrior: 0.3, TargetLayer: 2, DropPath: 0.3}

func depths(n *Network, images int) (all []int32) {
	for i := range images {
		all = append(all, n.output(i).Depth...)
	}
	return all
}

func TestBitsDoNotDependOnThreads(t *testing.T) {
	p := tiny(7)
	b := randomBatch(p.Config, 37, 8)
	var first *vit.Params
	var firstLoss float64
	for _, threads := range []int{1, 2, 3, 8} {
		net, err := NewNetwork(p, threads)
		if err != nil {
			t.Fatal(err)
		}
		net.shardSize = 3
		grad := vit.NewParams(p.Config)
		st, err := net.Step(b, someLoss, grad)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first, firstLoss = grad, st.Loss
			continue
		}
		if st.Loss != firstLoss || !slices.Equal(grad.Data, first.Data) {
			t.Errorf("%d threads give other bits than one", threads)
		}
	}
}

// TestMemoryIsReused: a smaller batch, then the first again, on the same network leaves nothing behind.
func TestMemoryIsReused(t *testing.T) {
	p := tiny(9)
	net, err := NewNetwork(p, 2)
	if err != nil {
		t.Fatal(err)
	}
	net.shardSize = 4
	big, small := randomBatch(p.Config, 21, 10), randomBatch(p.Config, 5, 11)
	one, two, scrap := vit.NewParams(p.Config), vit.NewParams(p.Config), vit.NewParams(p.Config)
	for _, step := range []struct {
		b Batch
		g *vit.Params
	}{{big, one}, {small, scrap}, {big, two}} {
		if _, err := net.Step(step.b, someLoss, step.g); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(one.Data, two.Data) {
		t.Error("the same batch gave another gradient after a smaller one")
	}
}

// TestLossesFollowEachOther: a network that has seen a loss which asks less of the last block has room for all others.
func TestLossesFollowEachOther(t *testing.T) {
	p := tiny(3)
	b, grad, want := randomBatch(p.Config, 120, 1), vit.NewParams(p.Config), vit.NewParams(p.Config)
	fresh, err := NewNetwork(p, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.Step(b, someLoss, want); err != nil {
		t.Fatal(err)
	}
	net, err := NewNetwork(p, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, loss := range []Loss{{TargetLayer: 2, Budget: 0.5}, someLoss} {
		if _, err := net.Step(b, loss, grad); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(grad.Data, want.Data) {
		t.Error("the second loss has another gradient than it has alone")
	}
}

func TestAllTokensHaltInTheFirstBlock(t *testing.T) {
	p := tiny(12)
	p.Config.Halting = p.Config.Halting.With("gate_center", -50) // every score is 1
	net, err := NewNetwork(p, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, grad := randomBatch(p.Config, 4, 13), vit.NewParams(p.Config)
	st, err := net.Step(b, someLoss, grad)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(st.MeanDepth-1) > 1e-9 {
		t.Errorf("mean depth %v, want 1", st.MeanDepth)
	}
	if math.IsNaN(st.Loss) || firstBad(grad) != "none" {
		t.Errorf("loss %v, bad gradient in %s", st.Loss, firstBad(grad))
	}
	for _, v := range grad.Blocks[1].QKVWeight {
		if v != 0 {
			t.Fatal("a block that never ran has a gradient")
		}
	}
}

// shards is a small network with a scheme, whose batches are cut into shards of two images.
func shards(t *testing.T, scheme halting.Config, kind tokentest.Kind) *Network {
	t.Helper()
	p := tinyOf(3, kind)
	p.Config.Halting = scheme
	net, err := NewNetwork(p, 2)
	if err != nil {
		t.Fatal(err)
	}
	net.shardSize = 2
	return net
}

// TestNumbersThatAreNone: a picture of NaN or infinities shows in the loss, with every scheme, and leaves nothing
// behind.
func TestNumbersThatAreNone(t *testing.T) {
	for name, scheme := range schemes {
		for _, kind := range tokentest.Kinds[2:] {
			checkNoNumbers(t, name+", "+kind.Name, shards(t, scheme, kind))
		}
	}
}

func checkNoNumbers(t *testing.T, name string, net *Network) {
	t.Helper()
	p := net.params
	l := lessons(p.Config, 6)[2]
	before, after := vit.NewParams(p.Config), vit.NewParams(p.Config)
	if _, err := net.Step(l.b, l.loss, before); err != nil {
		t.Fatal(err)
	}
	for _, v := range []float64{math.NaN(), math.Inf(1)} {
		broken := l.b
		broken.Load = func(i int, dst []float32) error {
			err := l.b.Load(i, dst)
			dst[i] = float32(v)
			return err
		}
		if st, err := net.Step(broken, l.loss, after); err != nil || !math.IsNaN(st.Loss) {
			t.Errorf("%s: pixels of %v: loss %v, error %v", name, v, st.Loss, err)
		}
	}
	if _, err := net.Step(l.b, l.loss, after); err != nil || !slices.Equal(before.Data, after.Data) {
		t.Errorf("%s: another gradient after numbers that are none: %v", name, err)
	}
}

// TestSmallestModels: one block, one patch, one image.
func TestSmallestModels(t *testing.T) {
	for name, scheme := range schemes {
		for _, kind := range tokentest.Kinds {
			if scheme.Blocks("layers") != nil {
				scheme = scheme.With("layers", []int(nil))
			}
			c := vit.Config{Embed: 1, Heads: 1, Layers: 1, Hidden: 1, Height: 1, Width: 1,
				Patch: 1, Channels: 1, Classes: 2, Eps: 1e-6, Halting: scheme}
			kind.Set(&c)
			p := vit.Initialize(c, 1, 1)
			for _, l := range lessons(c, 1) {
				net, err := NewNetwork(p, 2)
				if err != nil {
					t.Fatal(err)
				}
				grad := vit.NewParams(c)
				st, err := net.Step(l.b, l.loss, grad)
				if err != nil || math.IsNaN(st.Loss) || st.MeanDepth != 1 || firstBad(grad) != "none" ||
					largest(grad.HeadBias) == 0 {
					t.Errorf("%s, %s, %s: %+v, gradient of the head's bias %v, error %v", name, kind.Name, l.name, st,
						grad.HeadBias, err)
				}
			}
		}
	}
}

func TestStepRefuses(t *testing.T) {
	p := tiny(14)
	net, err := NewNetwork(p, 1)
	if err != nil {
		t.Fatal(err)
	}
	grad := vit.NewParams(p.Config)
	b := randomBatch(p.Config, 2, 15)
	broken := errors.New("broken picture")
	for name, change := range map[string]func(Batch) Batch{
		"no images":           func(b Batch) Batch { b.Size, b.Labels = 0, nil; return b },
		"labels do not match": func(b Batch) Batch { b.Labels = b.Labels[:1]; return b },
		"label out of range":  func(b Batch) Batch { b.Labels = []int32{0, 3}; return b },
		"negative label":      func(b Batch) Batch { b.Labels = []int32{-1, 0}; return b },
		"unreadable image":    func(b Batch) Batch { b.Load = func(int, []float32) error { return broken }; return b },
	} {
		if _, err := net.Step(change(b), Loss{}, grad); err == nil {
			t.Errorf("%s: no error", name)
		} else if name == "unreadable image" && !errors.Is(err, broken) {
			t.Errorf("%s: %v hides its cause", name, err)
		}
	}
}

// TestStop: a pass ends between any two shards, forward or backward, with the error that it is told, and the network
// can go on.
func TestStop(t *testing.T) {
	p := tiny(3)
	end := errors.New("the end")
	for _, threads := range []int{1, 3} {
		net, err := NewNetwork(p, threads)
		if err != nil {
			t.Fatal(err)
		}
		net.shardSize = 2
		b, grad := randomBatch(p.Config, 20, 4), vit.NewParams(p.Config)
		for after := range int64(20) { // ten shards, twice
			var asked atomic.Int64
			b.Stop = func() error {
				if asked.Add(1) > after {
					return end
				}
				return nil
			}
			if _, err := net.Step(b, someLoss, grad); !errors.Is(err, end) {
				t.Fatalf("%d threads, stopped before shard %d: error %v", threads, after, err)
			}
		}
		b.Stop = func() error { return nil }
		if _, err := net.Step(b, someLoss, grad); err != nil || firstBad(grad) != "none" {
			t.Errorf("%d threads: after being stopped: %v", threads, err)
		}
	}
}

// TestPanicComesOut: a panic in a thread of the network comes out of Step, where the caller can recover from it.
func TestPanicComesOut(t *testing.T) {
	p := tiny(3)
	b := randomBatch(p.Config, 200, 4)
	for _, threads := range []int{1, 3} {
		net, err := NewNetwork(p, threads)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []int{0, 77, 199} {
			broken := b
			broken.Load = func(i int, dst []float32) error {
				if i == bad {
					panic("a fault")
				}
				return b.Load(i, dst)
			}
			got := func() (got any) {
				defer func() { got = recover() }()
				_, err := net.Step(broken, someLoss, vit.NewParams(p.Config))
				return err
			}()
			if got != "a fault" {
				t.Errorf("%d threads: image %d panics, Step's caller sees %v", threads, bad, got)
			}
		}
	}
}

// output is what one image of the last batch came to. A scheme that learns a prediction in every block gives the last
// block's.
type output struct {
	Logits    []float32 // [classes]
	Depth     []int32   // [N] N[k]
	Remainder []float32 // [N] r[k]
	Score     []float32 // [L,N]
}

// output returns the output of image i of the last batch; it is valid until the next pass.
func (n *Network) output(i int) output {
	s, j := n.shards[i/n.shardSize], i%n.shardSize
	size, classes := n.config.Layers*n.config.Tokens(), n.config.Classes
	logits := s.decisions[len(s.decisions)-1].logits
	return output{logits[j*classes : (j+1)*classes], s.state[j].Depth, s.state[j].Remainder, s.score[j*size : (j+1)*size]}
}
