package data

import (
	"errors"
	"fmt"
	"math"
)

// holdOut divides a data set into a part to learn from, the first Dataset, and so many parts to judge by, which have
// about share·Len pictures together. It is stratified: each class gives its share, to within one picture, but at least
// least pictures, and keeps at least one to learn from. What is held out is dealt to the parts in turn. Which pictures
// they are depends on nothing but the seed, the share and the labels; all parts keep the data set's order.
//
// share must be greater than 0 and less than 1, and so large that there is a picture for each part.
func holdOut(d Dataset, share float64, least, parts int, seed uint64) ([]Dataset, error) {
	if !(share > 0 && share < 1) {
		return nil, fmt.Errorf("a share of %v of the pictures held out: want more than 0 and less than 1", share)
	}
	members := make([][]int, len(d.Classes())) // the pictures of each class
	for i := range d.Len() {
		l := d.Label(i)
		if l < 0 || l >= len(members) {
			return nil, fmt.Errorf("label %d of picture %d is beyond the %d classes", l, i, len(members))
		}
		members[l] = append(members[l], i)
	}
	part := make([]int, d.Len()) // that each picture is in, 0 for the rest
	var seen, taken int
	for class, of := range members {
		// Rounding the running sum, not each class, keeps the total at share·Len also where classes are so small that
		// their own share rounds to 0.
		seen += len(of)
		n := int(math.Round(share*float64(seen))) - taken
		n = max(min(max(n, least), len(of)-1), 0)
		order := Order(seed^holdOutSeed, uint64(class), len(of))
		for _, k := range order[:n] {
			part[of[k]] = 1 + taken%parts
			taken++
		}
	}
	if taken < parts {
		return nil, fmt.Errorf("a share of %v of %d pictures in %d classes %w",
			share, d.Len(), len(members), errNoneHeld)
	}
	index := make([][]int, parts+1)
	for i, p := range part {
		index[p] = append(index[p], i)
	}
	sets := make([]Dataset, len(index))
	for p := range sets {
		var err error
		if sets[p], err = Subset(d, index[p]); err != nil {
			return nil, err
		}
	}
	return sets, nil
}

// errNoneHeld says that there is no picture to hold out.
var errNoneHeld = errors.New("leaves none to test on")

// holdOutSeed keeps the choice apart from the orders of the epochs, which come from the same seed.
const holdOutSeed = 0x68c1d0f2a4b35e97
