package train

import (
	"fmt"

	"github.com/adavit/adavit/vit"
)

// whereBad says in words where the first number that is not finite arose in the last Step: in the input, in a block's output on the way up, or in
// a gradient on the way down.
func (n *Network) whereBad(grad *vit.Params) string {
	for _, t := range n.params.Tensors() {
		if at := badIndex(t.Data); at >= 0 {
			return fmt.Sprintf("the weights themselves are not finite: %s[%d] is %v", t.Name, at, t.Data[at])
		}
	}
	return "first bad tensor: " + firstBad(grad)
}

// firstBad names the bad gradient that backward reached first, which is that of the tensor nearest to the output.
func firstBad(grad *vit.Params) string {
	tensors := grad.Tensors()
	for i := len(tensors) - 1; i >= 0; i-- {
		if badIndex(tensors[i].Data) >= 0 {
			return tensors[i].Name
		}
	}
	return "none"
}

// badIndex is the place of the first number that is NaN or infinite, −1 if there is none.
func badIndex(x []float32) int {
	for i, v := range x {
		if v-v != 0 {
			return i
		}
	}
	return -1
}
