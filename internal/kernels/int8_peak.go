package kernels

import "time"

// PeakInt8 is PeakFLOPS for sums of products of bytes: operations (two for each multiply-add) a second that one core does with the instructions that GemmInt8
// uses on the path in use.
func PeakInt8(d time.Duration) float64 { return peak(d, dotsInt8) }
