package data

import (
	"math/bits"
	"math/rand/v2"
	"sync"
)

// orderIndex is the index whose random stream shuffles an epoch; no sample has it.
const orderIndex = ^uint64(0)

// Rand is the random stream of one sample of one epoch. It depends on nothing but the three numbers, so a run gives the
// same pictures whatever the number of threads and wherever it was resumed.
func Rand(seed, epoch, index uint64) *rand.Rand {
	a := mix(seed)
	b := mix(a ^ mix(epoch+0x9e3779b97f4a7c15))
	return rand.New(rand.NewPCG(b, mix(b^mix(index+0xd1b54a32d192ed03))))
}

// Order is a permutation of 0 … n−1 that depends on nothing but the seed, the epoch and n: the order in which an epoch
// visits the samples.
func Order(seed, epoch uint64, n int) []int {
	rng := Rand(seed, epoch, orderIndex)
	order := make([]int, n)
	// Fisher–Yates, spelt out so that the order cannot change with the library.
	for i := range order {
		hi, _ := bits.Mul64(rng.Uint64(), uint64(i+1))
		j := int(hi)
		order[i] = order[j]
		order[j] = i
	}
	return order
}

// RepeatedOrder is the order of an epoch with repeated augmentation (Hoffer et al. 2020, as DeiT uses it): each picture
// of the shuffled list repeats times in a row, cut to n positions, so that an epoch shows about n/repeats pictures in
// several versions each. One picture then has several positions: it is the position, not the index, that must key the
// random stream of its augmentation. With repeats of 1 or less it is Order.
func RepeatedOrder(seed, epoch uint64, n, repeats int) []int {
	order := Order(seed, epoch, n)
	if repeats <= 1 {
		return order
	}
	for k := n - 1; k >= 0; k-- { // from the end: order[k/repeats] is not yet overwritten
		order[k] = order[k/repeats]
	}
	return order
}

// Sequence says which picture stands where in which epoch. It keeps the orders of two epochs, so that a loader may
// cross from one into the next. All methods may be called from several goroutines at once.
type Sequence struct {
	seed       uint64
	n, repeats int

	mu   sync.Mutex
	kept [2]struct { // the later one last
		epoch int
		order []int // RepeatedOrder; nil: none yet
	}
}

// NewSequence gives the orders of a data set of n pictures, RepeatedOrder(seed, epoch, n, repeats) for each epoch from
// 0.
func NewSequence(seed uint64, n, repeats int) *Sequence {
	return &Sequence{seed: seed, n: n, repeats: repeats}
}

// At is the picture at a position, 0 ≤ position < n, of an epoch.
func (s *Sequence) At(epoch, position int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.kept {
		if k.epoch == epoch && k.order != nil {
			return k.order[position]
		}
	}
	s.kept[0] = s.kept[1]
	last := &s.kept[1]
	last.epoch, last.order = epoch, RepeatedOrder(s.seed, uint64(epoch), s.n, s.repeats)
	return last.order[position]
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection that spreads every input bit over all
// output bits.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
