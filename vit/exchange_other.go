//go:build !linux

package vit

import "errors"

// exchange swaps two directories in one step, where the file system can.
func exchange(a, b string) error { return errors.ErrUnsupported }
