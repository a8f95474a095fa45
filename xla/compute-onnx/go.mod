// In place of github.com/gomlx/compute-onnx, which GoMLX wants for a build tag that is not set here, and which not every
// module proxy serves.
module github.com/gomlx/compute-onnx

go 1.26
