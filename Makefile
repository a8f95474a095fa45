.PHONY: build test demo bench bench-peers bench-serve bench-overload generate ci
VERSION = $(shell git describe --tags --always --dirty 2>/dev/null)
build:            ; CGO_ENABLED=0 go build -ldflags "-X main.version=$(VERSION)" -o bin/adavit ./cmd/adavit
test:             ; go test ./...
demo:             ; go run ./cmd/adavit demo
bench:            ; go run ./cmd/adavit bench --variant deit-small --threads 1,2
bench-peers:      ; cd bench && go run . -out ../BENCHMARKS.md
bench-serve:      ; cd bench && go run . -serve -out ../BENCHMARKS.md
bench-overload:   ; cd bench && go run . -overload -overload-out ../out/overload
generate:         ; go generate ./internal/kernels ./serve/inferencepb ./cmd/adavit
ci:               ; .ci/run
# README's picture, drawn anew of the bundled adaptive model; not by int8, whose kernels differ from machine to machine.
.PHONY: depths
depths:
	go run ./cmd/adavit demo --precision f32 --out out/demo
	cp out/demo/easy-hard.png models/depths.png
# The two bundled models, from nothing: a dense model of 50 epochs, and then both 20 epochs more by the same schedule,
# the adaptive one with the tokens of that model as its teacher; some two and a half hours on two cores.
.PHONY: models
models:
	go run ./cmd/adavit train --recipe fashion-dense --data fashion-mnist --out out/fashion-base
	go run ./cmd/adavit train --recipe fashion-dense-more --init out/fashion-base --data fashion-mnist \
		--out out/fashion-longer --set lr=5e-4 --set min_lr=1e-5
	go run ./cmd/adavit train --recipe fashion-dense-more --init out/fashion-longer --data fashion-mnist \
		--out out/fashion-dense
	go run ./cmd/adavit train --recipe fashion-adaptive --init out/fashion-longer --data fashion-mnist \
		--out out/fashion-adaptive
	go run ./cmd/adavit calibrate --model out/fashion-adaptive --data fashion-mnist --threads 1
