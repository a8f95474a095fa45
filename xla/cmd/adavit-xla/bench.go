package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/xla"
)

// speed is what a training step of random images takes, from the host's memory to new weights.
type speed struct {
	Variant         string  `json:"variant"`
	Mode            string  `json:"mode"`
	Precision       string  `json:"precision"`
	Devices         int     `json:"devices"`
	Batch           int     `json:"batch"`
	MeanDepth       float64 `json:"mean_depth"`
	FirstStep       float64 `json:"first_step_seconds"` // with compiling
	ImagesPerSecond float64 `json:"images_per_second"`  // the median step's
}

// How a bench's tokens are computed.
const (
	modeDense   = "dense"   // a model without halting
	modeMasked  = "masked"  // tokens halt at all depths from 3 to 12, by places, and are masked
	modeBuckets = "buckets" // and are gathered
)

func (a *app) bench() *cobra.Command {
	var variant, mode string
	var batch, steps int
	cmd := &cobra.Command{
		Use:   "bench [--variant V] [--mode dense|masked|buckets]",
		Short: "Time training steps on random images",
		Long: `Bench times training steps, each from pictures in the host's memory to new weights. In the modes masked and
buckets tokens halt after 3 to all blocks, as many after each, which are 7.5 on the average of 12.`,
		Example: `  adavit-xla bench --variant deit-small --mode buckets --precision bf16 --batch 256`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains([]string{modeDense, modeMasked, modeBuckets}, mode) {
				return usage.Errorf("--mode is %q, want %s, %s or %s", mode, modeDense, modeMasked, modeBuckets)
			}
			if batch < 1 || steps < 1 {
				return usage.Errorf("--batch and --steps are counts")
			}
			p, err := staged(variant, mode)
			if err != nil {
				return usage.Wrap(err)
			}
			d, err := a.open()
			if err != nil {
				return err
			}
			defer d.Close()
			if mode == modeBuckets && a.options.Buckets == 0 {
				a.options.Buckets = 8
			}
			s, err := measure(d, p, a.options, batch, steps)
			if err != nil {
				return err
			}
			s.Variant, s.Mode, s.Precision, s.Devices, s.Batch = variant, mode, a.precision, d.Count(), batch
			return a.show(s, fmt.Sprintf("%s, %s, %s, %d devices, batch %d: %.1f images/s (mean depth %.2f; first step %.0f s)"+
				"\n", variant, mode, a.precision, s.Devices, batch, s.ImagesPerSecond, s.MeanDepth, s.FirstStep))
		},
	}
	f := cmd.Flags()
	f.StringVar(&variant, "variant", "deit-tiny", "`architecture`")
	f.StringVar(&mode, "mode", modeDense, "how tokens are computed: `dense`, masked or buckets")
	f.IntVar(&batch, "batch", 256, "`number` of images of a step")
	f.IntVar(&steps, "steps", 30, "`number` of steps that are timed")
	f.BoolVar(&a.options.Remat, "remat", false, "compute blocks again in the backward pass")
	f.IntVar(&a.options.Buckets, "buckets", 0, "`number` of sizes in the mode buckets (default 8)")
	return cmd
}

// staged makes a model of the variant whose tokens halt after 3 … L blocks by their places: a token's gate hardly moves
// from what its position says, so that one with a score of 1/k halts after about k blocks.
func staged(variant, mode string) (*vit.Params, error) {
	c, err := vit.Variant(variant)
	if err != nil {
		return nil, err
	}
	if mode != modeDense {
		c.Halting = halting.Config{Scheme: "token"}.With("gate_scale", 1).With("gate_center", 0)
	}
	p := vit.Initialize(c, 1, 0.02)
	r := rand.New(rand.NewPCG(1, 1))
	for k := range c.Tokens() {
		depth := c.Layers
		if k > 0 {
			depth = min(3, c.Layers) + r.IntN(c.Layers-min(3, c.Layers)+1)
		}
		p.Position[k*c.Embed] = float32(-math.Log(float64(depth)/0.995 - 1)) // a score of 0.995/depth
	}
	for l := range p.Blocks { // residual branches leave the gate alone
		b := &p.Blocks[l]
		clear(b.ProjWeight[:c.Embed])
		clear(b.FC2Weight[:c.Hidden])
	}
	clear(p.PatchWeight[:c.PatchLen()])
	p.ClassToken[0] = 0
	return p, nil
}

// measure times steps of random images at a learning rate of 0, so that tokens go on to halt where they do.
func measure(d *xla.Devices, p *vit.Params, o xla.Options, batch, steps int) (s speed, err error) {
	c := p.Config
	o.Threads = 8
	b, err := xla.NewStepper(d, p, train.Settings{WeightDecay: 0.05, Beta1: 0.9, Beta2: 0.999, ClipNorm: 1, EMA: 0.9999,
		Loss: train.Loss{LabelSmoothing: 0.1, DropPath: 0.1, AlphaPonder: 5e-4, AlphaPrior: 0.1, TargetLayer: 7}}, o)
	if err != nil {
		return s, err
	}
	defer b.Close()
	images := make([]float32, c.ImageLen()*(batch+1))
	r := rand.New(rand.NewPCG(2, 2))
	for i := range images {
		images[i] = float32(r.NormFloat64())
	}
	u := train.Update{Batch: func(int) (train.Batch, error) {
		return train.Batch{Size: batch, Labels: make([]int32, batch), Load: func(i int, dst []float32) error {
			copy(dst, images[i*c.ImageLen():])
			return nil
		}}, nil
	}}
	// Buckets settle before anything is timed.
	warm, took := 3, []float64(nil)
	if o.Buckets > 0 {
		warm = xla.Patience + 3
	}
	for step := range warm + steps {
		begin := time.Now()
		st, err := b.Step(u)
		if err != nil {
			return s, err
		}
		seconds := time.Since(begin).Seconds()
		if s.MeanDepth = st.MeanDepth; step == 0 {
			s.FirstStep = seconds
		} else if step >= warm {
			took = append(took, seconds)
		}
	}
	slices.Sort(took)
	s.ImagesPerSecond = float64(batch) / took[len(took)/2]
	return s, nil
}
