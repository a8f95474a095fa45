package main

import _ "embed"

// arm64Section is what ./arm64 computed of kernels that no machine here can run.
//
//go:embed arm64/table.md
var arm64Section string
