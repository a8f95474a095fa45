// Package onnx is empty: see go.mod.
package onnx
