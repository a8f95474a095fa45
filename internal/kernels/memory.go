package kernels

import "unsafe"

// number is what matrices and scratch hold.
type number interface {
	int8 | uint8 | int16 | uint16 | int32 | float32
}

// as is the memory of x as numbers of another type, as many as fit in it.
func as[B, A number](x []A) []B {
	n := len(x) * int(unsafe.Sizeof(*new(A))) / int(unsafe.Sizeof(*new(B)))
	return unsafe.Slice((*B)(unsafe.Pointer(unsafe.SliceData(x))), n)
}

// carve cuts the first n floats off scratch. What it cuts cannot grow into the rest.
func carve(scratch []float32, n int) (part, rest []float32) {
	return scratch[:n:n], scratch[n:]
}

// carveAs cuts n numbers of another type off scratch, a whole number of floats.
func carveAs[T number](scratch []float32, n int) (part []T, rest []float32) {
	f, rest := carve(scratch, n*int(unsafe.Sizeof(*new(T)))/4)
	return as[T](f), rest
}
