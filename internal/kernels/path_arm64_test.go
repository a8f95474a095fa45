//go:build !purego

package kernels

// The path of matrix products also without those of bfloat16s, if this machine has it.
func init() {
	if paths[0].name == "i8mm" {
		p := i8mm(false)
		p.name += "-nobf16"
		variants = append(variants, p)
	}
}
