package data

import (
	"fmt"
	"math"
)

// HoldOut divides a data set into a part to learn from and a part of about
// share·Len pictures to test on. It is stratified: each class gives its share,
// to within one picture, and keeps at least one to learn from. Which pictures
// are held out depends on nothing but the seed, the share and the labels; both
// parts keep the data set's order.
//
// share must be greater than 0 and less than 1, and so large that there is a
// picture to hold out.
func HoldOut(d Dataset, share float64, seed uint64) (rest, held Dataset, err error) {
	if !(share > 0 && share < 1) {
		return nil, nil, fmt.Errorf("a share of %v of the pictures held out: want more than 0 and less than 1", share)
	}
	members := make([][]int, len(d.Classes())) // the pictures of each class
	for i := range d.Len() {
		l := d.Label(i)
		if l < 0 || l >= len(members) {
			return nil, nil, fmt.Errorf("label %d of picture %d is beyond the %d classes", l, i, len(members))
		}
		members[l] = append(members[l], i)
	}
	out := make([]bool, d.Len())
	var seen, taken int
	for class, of := range members {
		// Rounding the running sum, not each class, keeps the total at share·Len
		// also where classes are so small that their own share rounds to 0.
		seen += len(of)
		n := int(math.Round(share*float64(seen))) - taken
		n = max(min(n, len(of)-1), 0)
		taken += n
		order := Order(seed^holdOutSeed, uint64(class), len(of))
		for _, k := range order[:n] {
			out[of[k]] = true
		}
	}
	if taken == 0 {
		return nil, nil, fmt.Errorf("a share of %v of %d pictures in %d classes leaves none to test on", share, d.Len(), len(members))
	}
	index := [2][]int{make([]int, 0, d.Len()-taken), make([]int, 0, taken)}
	for i, held := range out {
		if held {
			index[1] = append(index[1], i)
		} else {
			index[0] = append(index[0], i)
		}
	}
	if rest, err = Subset(d, index[0]); err != nil {
		return nil, nil, err
	}
	if held, err = Subset(d, index[1]); err != nil {
		return nil, nil, err
	}
	return rest, held, nil
}

// holdOutSeed keeps the choice apart from the orders of the epochs, which come
// from the same seed.
const holdOutSeed = 0x68c1d0f2a4b35e97
