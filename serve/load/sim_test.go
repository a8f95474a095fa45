package load

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func randomPlant(seed uint64, times float64) *plant {
	r := rand.New(rand.NewPCG(seed, 2))
	pick := func(v ...float64) float64 { return v[r.IntN(len(v))] }
	p := &plant{
		workers: int(pick(1, 2, 2, 4)), pass: int(pick(4, 8)), dense: pick(600, 2364),
		fixed: pick(0.02, 0.05, 0.1), objective: 400 * time.Millisecond, least: pick(0.25, 0.3), told: pick(0.5, 1, 2),
		bend: pick(0.8, 1, 1.2), spread: pick(0, 0.2, 0.5), tail: r.IntN(3) == 0, length: 12,
	}
	p.block = pick(10e-3, 16e-3) / p.dense
	p.rate = always(0.6 * times)
	p.speed = always(1)
	return p
}

func TestLook(t *testing.T) {
	for _, times := range []float64{1, 2, 3, 5} {
		for seed := range uint64(8) {
			p := randomPlant(seed, times)
			fmt.Printf("N=%v seed %d w=%d pass=%d fixed=%.2f told=%v bend=%v spread=%v tail=%v dense=%.0fms\n", times, seed, p.workers, p.pass, p.fixed, p.told, p.bend, p.spread, p.tail, p.block*p.dense*1000)
			for _, m := range []Mode{Queue, Shed, Degrade} {
				o := p.run(t, m, seed)
				s := 0.0
				for _, x := range o.shares {
					s += x
				}
				fmt.Printf("   %-8v answered %.4f good/s %.3f missed %.4f (late %d shed %d) p99 %.0f share %.2f dark %.3f wrong %d\n", m, o.answered(), float64(o.good)/p.length/p.capacity(), o.missed(), o.late, o.shed, o.p99()*1000, s/float64(len(o.shares)), o.dark, o.wrong)
			}
		}
	}
}
