package vit

import "github.com/adavit/adavit/weights"

// readPyTorch reads a state dict that PyTorch saved.
func readPyTorch(path string) (*weights.File, error) {
	c, err := weights.ReadCheckpoint(path, "")
	if err != nil {
		return nil, err
	}
	return c.File, nil
}
