//go:build !purego

package kernels

import "golang.org/x/sys/unix"

// detect asks macOS. It does not know the names of what was unheard of when it was written: that is not there.
func detect() features {
	has := func(feature string) bool {
		n, err := unix.SysctlUint32("hw.optional.arm.FEAT_" + feature)
		return err == nil && n != 0
	}
	return features{dotProd: has("DotProd"), i8mm: has("I8MM"), bf16: has("BF16")}
}
