//go:build !purego

package kernels

import (
	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// detect reads the auxiliary vector, in which Linux says what the processor has.
func detect() features {
	const hwcap2, bf16 = 26, 1 << 14 // AT_HWCAP2 and its bit HWCAP2_BF16
	f := features{dotProd: cpu.ARM64.HasASIMDDP, i8mm: cpu.ARM64.HasI8MM}
	vector, err := unix.Auxv()
	if err != nil { // then without
		return f
	}
	for _, entry := range vector {
		if entry[0] == hwcap2 {
			f.bf16 = entry[1]&bf16 != 0
		}
	}
	return f
}
