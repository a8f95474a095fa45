package weights

import (
	"errors"
	"strings"
)

// mistaken says what a file that begins so is, where that is often taken for weights that can be read; nil if it is not
// known.
func mistaken(start []byte) error {
	text := string(start)
	for _, m := range [...]struct {
		at           int
		begins, what string
	}{
		{0, "version https://", "a pointer of Git LFS, not the file itself: fetch it with git lfs pull"},
		{0, "<", "a page of HTML or XML, not a checkpoint: was the download refused?"},
		{0, npyMagic, "a single array of NumPy, not the archive of several (.npz) that a checkpoint is"},
		{0, "\x89HDF\r\n", "an HDF5 file, as Keras and TensorFlow keep weights, which is not read: load it in " +
			"version 4 of transformers (from_tf=True) and save it as safetensors"},
		{0, "GGUF", "a GGUF file, whose weights are quantized, which is not read: take the model that it was made of"},
		{4, "ORTM", "ONNX Runtime's own format, which is not read: take the .onnx file that it was made of"},
		{4, "TFL3", "a TensorFlow Lite program, which is not read: take the model that it was made of"},
	} {
		if len(text) > m.at && strings.HasPrefix(text[m.at:], m.begins) {
			return errors.New(m.what)
		}
	}
	if len(text) == 0 {
		return errors.New("empty file")
	}
	return nil
}

// foreignZip says what a zip archive is that is no checkpoint of PyTorch, by its entries' names.
func (z *zipArchive) foreignZip() error {
	for name := range z.entries {
		_, base, _ := strings.Cut(name, "/")
		switch {
		case base == "archive_format", name == "serialized_exported_program.json":
			return errors.New("a program of torch.export, not a checkpoint: save the model's state_dict()")
		case name == "model.weights.h5":
			return errors.New("a model of Keras, which is not read: save its weights as safetensors")
		}
	}
	return errors.New("a zip archive without FOLDER/data.pkl: not a PyTorch checkpoint")
}
