package data

import (
	"math/bits"
	"math/rand/v2"
)

// orderIndex is the index whose random stream shuffles an epoch; no sample has it.
const orderIndex = ^uint64(0)

// Rand is the random stream of one sample of one epoch. It depends on nothing
// but the three numbers, so a run gives the same pictures whatever the number
// of threads and wherever it was resumed.
func Rand(seed, epoch, index uint64) *rand.Rand {
	a := mix(seed)
	b := mix(a ^ mix(epoch+0x9e3779b97f4a7c15))
	return rand.New(rand.NewPCG(b, mix(b^mix(index+0xd1b54a32d192ed03))))
}

// Order is a permutation of 0 … n−1 that depends on nothing but the seed, the
// epoch and n: the order in which an epoch visits the samples.
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

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection that
// spreads every input bit over all output bits.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
