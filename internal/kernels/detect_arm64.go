//go:build !purego && !linux && !darwin && !windows

package kernels

import "golang.org/x/sys/cpu"

func detect() features { return features{dotProd: cpu.ARM64.HasASIMDDP, i8mm: cpu.ARM64.HasI8MM} }
