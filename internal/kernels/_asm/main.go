// Command _asm writes the assembly of the package above, one file for each subject:
//
//	go run . -out ../gemm_amd64.s gemm
//
// Every routine is generated for AVX-512 (zmm registers, mask registers at edges) and for AVX2 with FMA (ymm registers). The stubs are
// written by hand beside the dispatch, so that they can take pointers to the package's own structs.
package main

import (
	"log"
	"os"

	. "github.com/mmcloughlin/avo/build"
)

var subjects = map[string]func(){
	"gemm": gemm, "pack": pack, "activation": activation, "norm": norm, "vector": vector, "int8": int8s,
	"bf16": bf16, "bf16_gemm": bf16Gemm,
}

func main() {
	log.SetFlags(0)
	subject := os.Args[len(os.Args)-1]
	emit, ok := subjects[subject]
	if !ok {
		log.Fatalf("no subject %q", subject)
	}
	ConstraintExpr("!purego")
	emit()
	Generate()
}
