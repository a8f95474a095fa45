package kernels

import "time"

// PeakBF16 is PeakFLOPS for sums of bfloat16 products: of the machine's dot product where it has one (two multiply-adds a lane), otherwise of
// the float32 multiply-adds that GemmBF16 makes do with.
func PeakBF16(d time.Duration) float64 { return peak(d, dotsBF16) }
