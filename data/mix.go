package data

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"

	"github.com/adavit/adavit/internal/strictjson"
	"github.com/adavit/adavit/picture"
)

// Mix blends each picture of a batch with the one at the opposite place, i with B−1−i, and their labels alike: by mixup
// (Zhang et al. 2018), which blends all pixels, or by cutmix (Yun et al. 2019), which puts a rectangle of one into the
// other. One draw serves the whole batch, as in timm's batch mode. The zero value mixes nothing.
type Mix struct {
	Mixup  float64 `json:"mixup"`  // α of mixup's share, λ ~ Beta(α, α); 0 is off
	CutMix float64 `json:"cutmix"` // α of cutmix's; 0 is off
	Prob   float64 `json:"prob"`   // probability that a batch is mixed; absent from JSON: 1
	// SwitchProb is the probability of cutmix where both are on; absent from JSON: 0.5.
	SwitchProb float64 `json:"switch_prob"`
	// OffEpoch, if not 0, is the first epoch (from 0) that is not mixed any more.
	OffEpoch int `json:"off_epoch,omitempty"`
}

// α lies within these: below, λ is 0 or 1 for all that it matters, above, ½.
const (
	minAlpha = 1e-3
	maxAlpha = 1e3
)

// UnmarshalJSON reads an object; prob left out is 1, switch_prob ½.
func (m *Mix) UnmarshalJSON(b []byte) error {
	type plain Mix // without this method
	*m = Mix{Prob: 1, SwitchProb: 0.5}
	if err := strictjson.Unmarshal(b, (*plain)(m)); err != nil {
		return fmt.Errorf("mix: %w", err)
	}
	return nil
}

// Validate says which field is out of range.
func (m Mix) Validate() error {
	if err := within("mix", bound{"mixup", m.Mixup, 0, maxAlpha}, bound{"cutmix", m.CutMix, 0, maxAlpha},
		bound{"prob", m.Prob, 0, 1}, bound{"switch_prob", m.SwitchProb, 0, 1},
		bound{"off_epoch", float64(m.OffEpoch), 0, 1e9}); err != nil {
		return err
	}
	for _, alpha := range []float64{m.Mixup, m.CutMix} {
		if alpha > 0 && alpha < minAlpha {
			return fmt.Errorf("mix: an α of %v, want 0 or %v to %v", alpha, minAlpha, maxAlpha)
		}
	}
	if m.Prob == 0 && (m.Mixup > 0 || m.CutMix > 0) {
		return fmt.Errorf("mix: mixup %v and cutmix %v with prob 0, which mixes nothing", m.Mixup, m.CutMix)
	}
	return nil
}

// Enabled reports whether batches of an epoch (from 0) may be mixed.
func (m Mix) Enabled(epoch int) bool {
	return (m.Mixup > 0 || m.CutMix > 0) && m.Prob > 0 && (m.OffEpoch == 0 || epoch < m.OffEpoch)
}

// Apply mixes images, [B, channels, height, width], in place, and writes the targets that go with them, [B, classes],
// each row summing to 1: with share λ of the picture's own label and 1 − λ of the other's, where a label y is smoothed
// to
//
//	smoothing/classes + (1 − smoothing)·[class = y]
//
// Cutmix's λ is the share of the picture that really stays its own. labels are below classes; B may be odd, the middle
// picture then stays as it is. All chance comes from rng. OffEpoch is the caller's to heed, by Enabled.
func (m Mix) Apply(images []float32, labels []int32, targets []float32,
	classes int, smoothing float64, channels, height, width int, rng *rand.Rand) {
	own := 1.0
	switch cut, share := m.draw(rng); {
	case share == 1:
	case cut:
		box := drawBox(share, height, width, rng)
		swapBoxes(images, len(labels), channels, height, width, box)
		own = 1 - float64(box.Height*box.Width)/float64(height*width)
	default:
		blendPairs(images, len(labels), share)
		own = share
	}
	mixTargets(targets, labels, classes, own, smoothing)
}

// draw decides whether a batch is mixed, by cutmix or mixup, and how much stays: 1 is all.
func (m Mix) draw(rng *rand.Rand) (cut bool, share float64) {
	luck, which := rng.Float64(), rng.Float64()
	alpha := m.Mixup
	if cut = m.CutMix > 0 && (m.Mixup <= 0 || which < m.SwitchProb); cut {
		alpha = m.CutMix
	}
	if alpha <= 0 || luck >= m.Prob {
		return false, 1
	}
	return cut, beta(alpha, rng)
}

// drawBox is the rectangle of cutmix: both sides of the picture's times √(1 − λ), centred anywhere, and cut off at the
// edges.
func drawBox(share float64, height, width int, rng *rand.Rand) picture.Part {
	ratio := math.Sqrt(1 - share)
	h, w := int(float64(height)*ratio), int(float64(width)*ratio)
	return boxAt(rng.IntN(height), rng.IntN(width), h, w, height, width)
}

// boxAt is what lies inside of the picture of a rectangle of h×w, made even, about a pixel.
func boxAt(y, x, h, w, height, width int) picture.Part {
	top, bottom := max(y-h/2, 0), min(y+h/2, height)
	left, right := max(x-w/2, 0), min(x+w/2, width)
	return picture.Part{Top: top, Left: left, Height: bottom - top, Width: right - left}
}

// blendPairs is mixup: x[i] ← λ·x[i] + (1 − λ)·x[B−1−i].
func blendPairs(images []float32, batch int, share float64) {
	size := len(images) / batch
	mine, other := float32(share), float32(1-share)
	for i := range batch / 2 {
		a, b := images[i*size:][:size], images[(batch-1-i)*size:][:size]
		for k, v := range a {
			a[k], b[k] = float32(v*mine)+float32(b[k]*other), float32(b[k]*mine)+float32(v*other)
		}
	}
}

// swapBoxes is cutmix: opposite pictures exchange a rectangle.
func swapBoxes(images []float32, batch, channels, height, width int, box picture.Part) {
	size := len(images) / batch
	for i := range batch / 2 {
		a, b := images[i*size:][:size], images[(batch-1-i)*size:][:size]
		for _, at := range boxRows(channels, height, width, box) {
			ra, rb := a[at:][:box.Width], b[at:][:box.Width]
			for x, v := range ra {
				ra[x], rb[x] = rb[x], v
			}
		}
	}
}

// boxRows gives the channel of each row of a rectangle and where it begins in a picture [channels, height, width].
func boxRows(channels, height, width int, box picture.Part) iter.Seq2[int, int] {
	return func(yield func(channel, at int) bool) {
		for c := range channels {
			for y := range box.Height {
				if !yield(c, (c*height+box.Top+y)*width+box.Left) {
					return
				}
			}
		}
	}
}

// mixTargets writes the soft targets of a batch of which share own stayed.
func mixTargets(targets []float32, labels []int32, classes int, own, smoothing float64) {
	off := smoothing / float64(classes)
	for i := range targets[:len(labels)*classes] {
		targets[i] = float32(off)
	}
	for i, label := range labels {
		row := targets[i*classes:][:classes]
		other := labels[len(labels)-1-i]
		if label == other {
			row[label] = float32(off + 1 - smoothing)
			continue
		}
		row[label] = float32(off + own*(1-smoothing))
		row[other] = float32(off + (1-own)*(1-smoothing))
	}
}

// beta draws from Beta(α, α), a number of 0 to 1.
func beta(alpha float64, rng *rand.Rand) float64 {
	if alpha > 1 {
		a := gamma(alpha, rng)
		return a / (a + gamma(alpha, rng))
	}
	// Jöhnk (1964): of two powers of uniform numbers whose sum is at most 1 the share of the first. In logarithms, for
	// small α makes the powers vanish.
	for {
		a, b := math.Log(1-rng.Float64())/alpha, math.Log(1-rng.Float64())/alpha
		top := max(a, b)
		if sum := top + math.Log(math.Exp(a-top)+math.Exp(b-top)); sum <= 0 {
			return math.Exp(a - sum)
		}
	}
}

// gamma draws from the gamma distribution of shape alpha ≥ 1 (Marsaglia, Tsang 2000).
func gamma(alpha float64, rng *rand.Rand) float64 {
	d := alpha - 1./3
	c := 1 / math.Sqrt(9*d)
	for {
		x, u := rng.NormFloat64(), 1-rng.Float64()
		if v := 1 + c*x; v > 0 {
			v *= v * v
			if math.Log(u) < x*x/2+d*(1-v+math.Log(v)) {
				return d * v
			}
		}
	}
}
