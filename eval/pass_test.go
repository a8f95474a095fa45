package eval

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/vit"
)

// TestPass: what one pass says of any exit is what the model with this exit comes to, exactly.
func TestPass(t *testing.T) {
	for i, kind := range tokentest.Kinds {
		for _, name := range []string{"exit", "sact exit", "confidence"} {
			for _, precision := range []infer.Precision{infer.F32, infer.BF16, infer.Int8} {
				t.Run(kind.Name+", "+name+", "+string(precision), func(t *testing.T) {
					checkPass(t, name, kind, precision, uint64(i))
				})
			}
		}
	}
}

func checkPass(t *testing.T, name string, kind tokentest.Kind, precision infer.Precision, seed uint64) {
	const images = 24
	r := rand.New(rand.NewPCG(seed, 5))
	m := controlled(name, kind)
	m.Params = vit.Initialize(m.Params.Config, seed, 0.25)
	own := m.Params.Config.Halting
	about, err := own.Descriptor()
	filetest.Check(t, err)
	exit := about.Exit
	if exit == "" {
		exit = about.Tune
	}
	c := &calibration{CalibrateOptions: CalibrateOptions{Threads: 1 + r.IntN(3), Precision: precision}, model: m,
		tune: about.Tune, passes: map[passKey]pass{}, gates: map[int][]float64{}}
	c.images, _, err = hold(t.Context(), m, some(t, 0, images), images, 1)
	filetest.Check(t, err)
	c.weights, err = infer.Pack(m.Params, precision)
	filetest.Check(t, err)
	costs := map[float64]bool{}
	for _, sure := range []float64{0.15, 0.3 + 0.2*r.Float64(), 0.3 + 0.3*r.Float64(), 0.5 + 0.3*r.Float64(), 1} {
		h := own.With(exit, sure)
		begun := c.done
		got, err := c.measure(t.Context(), h, images)
		filetest.Check(t, err)
		if ran := c.done - begun; ran != 0 && len(costs) > 0 || ran != images && len(costs) == 0 {
			t.Errorf("%d images were run for an exit of %v", ran, sure)
		}
		costs[got.mean] = true
		scheme, err := halting.New(h)
		filetest.Check(t, err)
		p, err := c.run(t.Context(), h, scheme, images, false)
		filetest.Check(t, err)
		if want := p.outcome(c, h, 0); !reflect.DeepEqual(got, want) {
			t.Errorf("an exit of %v is said to come to\n%+v\nand comes to\n%+v", sure, got, want)
		}
	}
	if len(costs) < 3 {
		t.Errorf("five exits cost %v: that shows little", costs)
	}
}
