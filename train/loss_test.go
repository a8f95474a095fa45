package train

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/vit"
)

// softmaxOf is softmax(z/τ) in float64.
func softmaxOf(z []float32, temperature float64) []float64 {
	p, sum := make([]float64, len(z)), 0.0
	for j, v := range z {
		p[j] = math.Exp(float64(v) / temperature)
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
	return p
}

// costOf is what one image's heads cost, by the formulas: towards the labels and towards the teacher.
func costOf(heads [][]float32, b Batch, loss Loss, i int) (label, teacher float64) {
	classes := len(heads[0])
	mean := slices.Clone(heads[0])
	for j := range mean {
		mean[j] = (heads[0][j] + heads[len(heads)-1][j]) / 2
	}
	if b.Teacher != nil {
		mean = heads[0]
	}
	for j, p := range softmaxOf(mean, 1) {
		target := loss.LabelSmoothing / float64(classes)
		if j == int(b.Labels[i]) {
			target += 1 - loss.LabelSmoothing
		}
		if b.Targets != nil {
			target = float64(b.Targets[i*classes+j])
		}
		label -= target * math.Log(p)
	}
	if b.Teacher == nil {
		return label, 0
	}
	advice, student := b.Teacher[i*classes:(i+1)*classes], heads[len(heads)-1]
	if loss.Distill.Mode == DistillHard {
		best := 0
		for j := range advice {
			if advice[j] > advice[best] {
				best = j
			}
		}
		return label, -math.Log(softmaxOf(student, 1)[best])
	}
	tau := loss.Distill.Temperature
	q, p := softmaxOf(advice, tau), softmaxOf(student, tau)
	for j := range q {
		teacher += tau * tau * q[j] * math.Log(q[j]/p[j])
	}
	return label, teacher
}

// TestLossFollowsTheFormulas adds up every scheme's whole loss from what the images came to: logits, scores, depths
// and remainders.
func TestLossFollowsTheFormulas(t *testing.T) {
	for name, scheme := range schemes {
		for _, kind := range tokentest.Kinds {
			p := tinyOf(3, kind)
			p.Config.Halting = scheme
			c := p.Config
			for _, l := range lessons(c, 7) {
				net, err := NewNetwork(p, 1)
				if err != nil {
					t.Fatal(err)
				}
				net.shardSize = 3
				st, _, err := net.forward(l.b, l.loss)
				if err != nil {
					t.Fatal(err)
				}
				var ce, distill, ponder, prior, share float64
				mean := make([]float64, c.Layers)
				n := float64(c.Tokens())
				for i := range l.b.Size {
					out, s, at := net.output(i), net.shards[i/3], i%3
					cost := func(d *decision) (float64, float64) {
						var heads [][]float32
						for h := range c.Classifiers() {
							heads = append(heads, d.heads[h][at*c.Classes:(at+1)*c.Classes])
						}
						return costOf(heads, l.b, l.loss, i)
					}
					reach := 1.0
					for j, d := range s.decisions {
						chance := 1.0
						if blocks := len(s.decisions); blocks > 1 {
							deep := cmp.Or(l.loss.DeepSupervision, 1)
							if chance = deep / float64(blocks); j == blocks-1 {
								chance += 1 - deep
							}
						}
						if scheme.Scheme == "ponder" {
							chance = reach * float64(out.Score[j*c.Tokens()])
							if j == c.Layers-1 {
								chance = reach
							}
							reach -= chance
							lambda := l.loss.PonderLambda
							all := 1 - math.Pow(1-lambda, float64(c.Layers))
							prior += chance * math.Log(chance/(lambda*math.Pow(1-lambda, float64(j))/all))
						}
						a, b := cost(d)
						ce, distill = ce+chance*a, distill+chance*b
					}
					for k, d := range out.Depth {
						ponder += (float64(d) + float64(out.Remainder[k])) / n
						for j := range mean {
							mean[j] += float64(out.Score[j*c.Tokens()+k]) / n / float64(l.b.Size)
						}
					}
				}
				size := float64(l.b.Size)
				ce, distill, ponder, prior = ce/size, distill/size, ponder/size, prior/size
				want := ce
				if l.loss.Distill != nil {
					want = (1-l.loss.Distill.Alpha)*ce + l.loss.Distill.Alpha*distill
				}
				if l.b.TeacherTokens != nil {
					size := c.Readouts().Inputs() * c.Embed
					for i := range l.b.Size {
						d := net.shards[i/3].decisions[len(net.shards[i/3].decisions)-1]
						for j, v := range d.read[i%3*size : (i%3+1)*size] {
							if j%c.Embed > 0 {
								by := float64(v - l.b.TeacherTokens[i*size+j])
								want += l.loss.Distill.Tokens * by * by / float64(l.b.Size*c.Readouts().Inputs()*(c.Embed-1))
							}
						}
					}
				}
				switch scheme.Scheme {
				case "token", "act", "sact":
					target, err := newPrior(c.Layers, l.loss)
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range mean {
						share += m
					}
					prior = 0
					for j, m := range mean {
						switch q := m / share; {
						case q == 0:
						case l.loss.ReversePrior:
							prior += target.target[j] * math.Log(target.target[j]/q)
						default:
							prior += q * math.Log(q/target.target[j])
						}
					}
					want += l.loss.AlphaPonder*ponder + l.loss.AlphaPrior*prior
				case "ponder":
					ponder = 0
					want += l.loss.PonderBeta * prior
				default:
					ponder = 0
				}
				for _, v := range []struct {
					name      string
					got, want float64
				}{{"loss", st.Loss, want}, {"cross-entropy", st.CrossEntropy, ce}, {"teacher", st.Distill, distill},
					{"ponder", st.Ponder, ponder}, {"prior", st.Prior, prior}} {
					if math.Abs(v.got-v.want) > 1e-5*(1+math.Abs(v.want)) {
						t.Errorf("%s, %s, %s: %s is %v, want %v", name, kind.Name, l.name, v.name, v.got, v.want)
					}
				}
			}
		}
	}
}

// TestAccumulate: a dense model's gradient over a batch is that of its parts, added up with their shares; every
// scheme's doubles when it is added twice.
func TestAccumulate(t *testing.T) {
	p := tiny(5)
	p.Config.Halting = halting.Dense()
	net, err := NewNetwork(p, 2)
	if err != nil {
		t.Fatal(err)
	}
	whole, parts := vit.NewParams(p.Config), vit.NewParams(p.Config)
	b, loss := randomBatch(p.Config, 8, 4), Loss{LabelSmoothing: 0.1}
	if _, err := net.Step(b, loss, whole); err != nil {
		t.Fatal(err)
	}
	loss.Scale = 0.25
	for i := range 4 {
		part := Batch{Size: 2, Labels: b.Labels[2*i : 2*i+2]}
		part.Load = func(j int, dst []float32) error { return b.Load(2*i+j, dst) }
		if _, err := net.step(part, loss, parts, i > 0); err != nil {
			t.Fatal(err)
		}
	}
	if d := worst(parts.Data, whole.Data) / largest(whole.Data); d > 1e-6 {
		t.Errorf("the gradient in parts differs by %g of its largest", d)
	}
	for name, scheme := range schemes {
		p := tiny(3)
		p.Config.Halting = scheme
		net, err := NewNetwork(p, 1)
		if err != nil {
			t.Fatal(err)
		}
		l := lessons(p.Config, 6)[2]
		once, twice := vit.NewParams(p.Config), vit.NewParams(p.Config)
		if _, err := net.Step(l.b, l.loss, once); err != nil {
			t.Fatal(err)
		}
		scale, center := net.gate.scale, net.gate.center
		l.loss.Scale = 0.5
		for _, add := range []bool{false, true} {
			if _, err := net.step(l.b, l.loss, twice, add); err != nil {
				t.Fatal(err)
			}
		}
		if d := worst(twice.Data, once.Data) / largest(once.Data); d > 1e-6 {
			t.Errorf("%s: twice half the gradient differs by %g of its largest", name, d)
		}
		if s, c := net.gate.scale, net.gate.center; math.Abs(s-scale) > 1e-6*(1+math.Abs(scale)) ||
			math.Abs(c-center) > 1e-6*(1+math.Abs(center)) {
			t.Errorf("%s: twice half the gates' gradient is %v, %v, the whole %v, %v", name, s, c, scale, center)
		}
	}
}

// TestEverySchemesBits: the same on any number of threads, and in memory that another batch has used.
func TestEverySchemesBits(t *testing.T) {
	for name, scheme := range schemes {
		p := tinyOf(7, tokentest.Kinds[2+len(name)%(len(tokentest.Kinds)-2)])
		p.Config.Halting = scheme
		l := lessons(p.Config, 23)[2]
		var first *vit.Params
		var firstStats Stats
		var firstGate gateGradient
		for _, threads := range []int{1, 2, 5} {
			net, err := NewNetwork(p, threads)
			if err != nil {
				t.Fatal(err)
			}
			net.shardSize = 3
			for range 2 {
				grad := vit.NewParams(p.Config)
				st, err := net.Step(l.b, l.loss, grad)
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first, firstStats, firstGate = grad, st, net.gate
				}
				if !slices.Equal(grad.Data, first.Data) || st.Loss != firstStats.Loss ||
					st.MeanDepth != firstStats.MeanDepth || net.gate != firstGate {
					t.Errorf("%s: %d threads give other bits than one", name, threads)
				}
				if _, err := net.Step(randomBatch(p.Config, 10, 99), someLoss, vit.NewParams(p.Config)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestOtherScheme(t *testing.T) {
	p := tiny(3)
	p.Config.Halting = halting.Dense()
	net, err := NewNetwork(p, 1)
	if err != nil {
		t.Fatal(err)
	}
	p.Config.Halting = schemes["token"]
	if _, _, err := net.forward(randomBatch(p.Config, 2, 1), someLoss); err == nil {
		t.Error("a network took up another scheme than it was made for")
	}
}

func TestLossesRefuse(t *testing.T) {
	p := tiny(14)
	classes := p.Config.Classes
	nan := float32(math.NaN())
	good := func() (Batch, Loss) {
		b := randomBatch(p.Config, 2, 15)
		b.Targets, b.Teacher = []float32{0.5, 0.25, 0.25, 1, 0, 0}, make([]float32, 2*classes)
		return b, Loss{Distill: &Distill{Mode: DistillSoft, Alpha: 0.5}, TargetLayer: 2}
	}
	for fault, change := range map[string]func(*Batch, *Loss){
		"":                      func(*Batch, *Loss) {},
		"5 targets":             func(b *Batch, _ *Loss) { b.Targets = b.Targets[:5] },
		"image 1 has a target":  func(b *Batch, _ *Loss) { b.Targets[3] = nan },
		"target of -1":          func(b *Batch, _ *Loss) { b.Targets[3] = -1 },
		"image 0 sum to":        func(b *Batch, _ *Loss) { b.Targets[0] = 0.75 },
		"5 logits of a teacher": func(b *Batch, _ *Loss) { b.Teacher = b.Teacher[:5] },
		"logit 2 of image 1":    func(b *Batch, _ *Loss) { b.Teacher[5] = nan },
		"go together":           func(b *Batch, _ *Loss) { b.Teacher = nil },
		"mode is":               func(_ *Batch, l *Loss) { l.Distill.Mode = "by heart" },
		"alpha is 1.5":          func(_ *Batch, l *Loss) { l.Distill.Alpha = 1.5 },
		"temperature":           func(_ *Batch, l *Loss) { l.Distill.Temperature = 1e-9 },
		"label_smoothing":       func(_ *Batch, l *Loss) { l.LabelSmoothing = math.NaN() },
		"scale":                 func(_ *Batch, l *Loss) { l.Scale = -1 },
		"drop_path":             func(_ *Batch, l *Loss) { l.DropPath = 1 },
		"shape":                 func(_ *Batch, l *Loss) { l.PriorShape = "round" },
		"deviation":             func(_ *Batch, l *Loss) { l.PriorDeviation = -1 },
		"target_layer is 99":    func(_ *Batch, l *Loss) { l.TargetLayer = 99 },
	} {
		net, err := NewNetwork(p, 1)
		if err != nil {
			t.Fatal(err)
		}
		b, loss := good()
		change(&b, &loss)
		_, err = net.Step(b, loss, vit.NewParams(p.Config))
		if (err == nil) != (fault == "") || err != nil && !strings.Contains(err.Error(), fault) {
			t.Errorf("error %v, want one that says %q", err, fault)
		}
	}
	p.Config.Halting = schemes["ponder"]
	net, err := NewNetwork(p, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, loss := good()
	loss.TargetLayer, loss.PonderLambda = 0, 0
	if _, _, err := net.forward(b, loss); err == nil {
		t.Error("a geometric prior around layer 0 was accepted")
	}
}
