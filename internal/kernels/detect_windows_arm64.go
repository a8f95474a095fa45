//go:build !purego

package kernels

import "golang.org/x/sys/windows"

// detect asks Windows.
func detect() features {
	return features{
		dotProd: windows.IsProcessorFeaturePresent(windows.PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE),
		i8mm:    windows.IsProcessorFeaturePresent(windows.PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE),
		bf16:    windows.IsProcessorFeaturePresent(windows.PF_ARM_V86_BF16_INSTRUCTIONS_AVAILABLE),
	}
}
