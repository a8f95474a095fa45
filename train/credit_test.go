package train

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/vit"
)

// plain is the network in float64 as METHOD.md writes it, with every token in every block: those that have halted are
// barred as keys, or in sact keep their value. Depths are given, and so are the lives s₀[k,l] of before. Attention's
// logits have log(1 + s − s₀) added: nothing where the parameters are those of before, and its derivative there is that
// of a straight-through s.
type plain struct {
	p     *vit.Params
	depth []int32                 // [N]
	lives [][]float64             // [L+1][N] s₀; nil: s itself, so that nothing is added
	own   [][]float64             // [L+1][N] s, of the last run
	shift func(token int) float64 // added to a key's logits
}

func (f *plain) norm(x, weight, bias []float64) []float64 {
	mean, square := 0.0, 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		square += (v - mean) * (v - mean) / float64(len(x))
	}
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = (v-mean)/math.Sqrt(square+f.p.Config.Eps)*weight[i] + bias[i]
	}
	return y
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func affine(x []float64, weight, bias []float32) []float64 {
	y := wide(bias)
	for i := range y {
		for j, v := range x {
			y[i] += v * float64(weight[i*len(x)+j])
		}
	}
	return y
}

func plus(x, y []float64) []float64 {
	z := slices.Clone(x)
	for i, v := range y {
		z[i] += v
	}
	return z
}

// classify returns what the heads make of what they read of the tokens [N][E], summed.
func (f *plain) classify(x [][]float64) []float64 {
	p, c := f.p, f.p.Config
	norm := func(x []float64) []float64 { return f.norm(x, wide(p.NormWeight), wide(p.NormBias)) }
	read := tokentest.Read(&c, x, norm)
	z := affine(read, p.HeadWeight, p.HeadBias)
	if c.Classifiers() == 2 {
		second := affine(norm(x[1]), p.HeadDistWeight, p.HeadDistBias)
		for i := range z {
			z[i] = (z[i] + second[i]) / 2
		}
	}
	return z
}

// logits returns those of each decision: one on the mean fields, or one after each block.
func (f *plain) logits(image []float32, every bool) [][]float64 {
	p, c := f.p, f.p.Config
	n, special, heads, d := c.Tokens(), c.Special(), c.Heads, c.HeadDim()
	patches := make([]float32, c.Patches()*c.PatchLen())
	c.CutPatches(0, patches, image)
	x, positions := tokentest.Special(p)
	for k, position := range positions {
		at := k * c.PatchLen()
		x = append(x, plus(affine(wide(patches[at:at+c.PatchLen()]), p.PatchWeight, p.PatchBias), position))
	}
	scale, center := c.Halting.Number("gate_scale"), c.Halting.Number("gate_center")
	sum := make([]float64, n) // c[k,l]
	fields := make([][]float64, n)
	for q := range fields {
		fields[q] = make([]float64, c.Embed)
	}
	f.own = make([][]float64, c.Layers+1)
	freezes := c.Halting.Scheme == "sact"
	var all [][]float64
	for l := 1; l <= c.Layers; l++ {
		b := &p.Blocks[l-1]
		f.own[l] = make([]float64, n)
		qkv := make([][]float64, n)
		for k := range x {
			f.own[l][k] = 1 - sum[k]
			qkv[k] = affine(f.norm(x[k], wide(b.Norm1Weight), wide(b.Norm1Bias)), b.QKVWeight, b.QKVBias)
		}
		next := make([][]float64, n)
		for i := range x {
			if freezes && int(f.depth[i]) < l {
				next[i] = x[i]
				continue
			}
			mixed := make([]float64, c.Embed)
			for h := range heads {
				weights, total := make([]float64, n), 0.0
				for k := range x {
					runs := int(f.depth[k]) >= l
					if !runs && !freezes {
						continue
					}
					z := 0.0
					for j := range d {
						z += qkv[i][h*d+j] * qkv[k][c.Embed+h*d+j] / math.Sqrt(float64(d))
					}
					if k >= special && runs {
						if f.lives != nil {
							z += math.Log(1 + f.own[l][k] - f.lives[l][k])
						}
						if f.shift != nil {
							z += f.shift(k)
						}
					}
					weights[k] = math.Exp(z)
					total += weights[k]
				}
				for k, w := range weights {
					for j := range d {
						mixed[h*d+j] += w / total * qkv[k][2*c.Embed+h*d+j]
					}
				}
			}
			next[i] = plus(x[i], affine(mixed, b.ProjWeight, b.ProjBias))
			hidden := affine(f.norm(next[i], wide(b.Norm2Weight), wide(b.Norm2Bias)), b.FC1Weight, b.FC1Bias)
			for j, v := range hidden {
				hidden[j] = v * (1 + math.Erf(v/math.Sqrt2)) / 2
			}
			next[i] = plus(next[i], affine(hidden, b.FC2Weight, b.FC2Bias))
		}
		x = next
		now := make([][]float64, n) // what counts if the image ends here
		for k := range x {
			now[k] = fields[k]
			if k < c.Readouts().Alone {
				now[k] = x[k]
			} else if int(f.depth[k]) >= l {
				now[k] = slices.Clone(fields[k])
				for j, v := range x[k] {
					now[k][j] += (1 - sum[k]) * v
				}
			}
		}
		for k := range x {
			score := 1 / (1 + math.Exp(center-scale*x[k][0]))
			w := score
			if int(f.depth[k]) == l {
				w = 1 - sum[k]
			} else if int(f.depth[k]) < l {
				w = 0
			}
			for j, v := range x[k] {
				fields[k][j] += w * v
			}
			sum[k] += score
		}
		if every {
			all = append(all, f.classify(now))
		}
	}
	if every {
		return all
	}
	return [][]float64{f.classify(fields)}
}

// loss is the mean cross-entropy of the decisions towards a label.
func (f *plain) loss(image []float32, label int, every bool) float64 {
	list, loss := f.logits(image, every), 0.0
	for _, z := range list {
		total := 0.0
		for _, v := range z {
			total += math.Exp(v)
		}
		loss += (math.Log(total) - z[label]) / float64(len(list))
	}
	return loss
}

// TestCredit checks what keys are worth, and the gradient of every tensor with credit in it, against differences of a
// forward pass with log s in attention's logits.
func TestCredit(t *testing.T) {
	for _, scheme := range []string{"token", "sact"} {
		for _, exit := range []float64{0, 0.9} {
			for _, kind := range tokentest.Kinds {
				if scheme != "token" && kind.Pooling != vit.ClassToken { // or it takes long
					continue
				}
				for _, budget := range []float64{0, 0.5} { // with one, block L's patches are keys and values alone
					t.Run(fmt.Sprintf("%s/exit %g/%s/budget %g", scheme, exit, kind.Name, budget), func(t *testing.T) {
						p := tinyOf(3, kind)
						p.Config.Halting = schemes[scheme].With("credit", 1).With("exit", exit)
						checkCredit(t, p, Loss{TargetLayer: 2, Budget: budget})
					})
				}
			}
		}
	}
}

func checkCredit(t *testing.T, p *vit.Params, l Loss) {
	const images = 2
	net, err := NewNetwork(p, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, c := randomBatch(p.Config, images, 4), p.Config
	grad := vit.NewParams(c)
	if _, err := net.Step(b, l, grad); err != nil {
		t.Fatal(err)
	}
	every := c.Halting.Number("exit") > 0
	depth := slices.Clone(depths(net, images))
	list := make([]plain, images)
	pictures := make([][]float32, images)
	for i := range list {
		pictures[i] = make([]float32, c.ImageLen())
		if err := b.Load(i, pictures[i]); err != nil {
			t.Fatal(err)
		}
		list[i] = plain{p: p, depth: depth[i*c.Tokens() : (i+1)*c.Tokens()]}
		list[i].loss(pictures[i], 0, false)
		list[i].lives = list[i].own
	}
	loss := func() (sum float64) {
		for i := range list {
			sum += list[i].loss(pictures[i], int(b.Labels[i]), every) / images
		}
		return sum
	}
	// Below the first block every token's sum is that of all blocks that it ran in.
	const step = 1e-4
	got, worst := net.shards[0].credit, 0.0
	for k := c.Special(); k < c.Tokens(); k++ {
		want := 0.0
		for i, by := range []float64{step, -step} {
			list[0].shift = func(token int) float64 {
				if token == k {
					return by
				}
				return 0
			}
			want += loss() * float64(1-2*i) / (2 * step)
		}
		list[0].shift = nil
		worst = max(worst, math.Abs(want))
		if math.Abs(float64(got[k])-want) > 1e-5 {
			t.Errorf("token %d is worth %v, the loss says %v", k, got[k], want)
		}
	}
	if worst < 1e-4 {
		t.Fatalf("no token is worth more than %v: the test shows little", worst)
	}
	checkPlainSlopes(t, p, grad, loss)
}

// checkPlainSlopes compares every tensor's gradient with differences of a loss along it.
func checkPlainSlopes(t *testing.T, p, grad *vit.Params, loss func() float64) {
	const step = 1e-3
	for _, tensor := range p.Tensors() {
		g := grad.Data[tensor.Offset : tensor.Offset+len(tensor.Data)]
		keep, length := slices.Clone(tensor.Data), 0.0
		for _, v := range g {
			length += float64(v) * float64(v)
		}
		if length = math.Sqrt(length); length == 0 {
			continue
		}
		slope := 0.0
		for i, by := range []float64{step, -step} {
			for j := range keep {
				tensor.Data[j] = keep[j] + float32(by*float64(g[j])/length)
			}
			slope += loss() * float64(1-2*i) / (2 * step)
		}
		copy(tensor.Data, keep)
		if math.Abs(slope-length) > 2e-3*length+1e-5 {
			t.Errorf("%s: slope %v, the loss's is %v", tensor.Name, length, slope)
		}
	}
}
