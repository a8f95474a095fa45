.PHONY: build test demo bench bench-peers bench-serve bench-overload generate ci
VERSION = $(shell git describe --tags --always --dirty 2>/dev/null)
build:            ; CGO_ENABLED=0 go build -ldflags "-X main.version=$(VERSION)" -o bin/adavit ./cmd/adavit
test:             ; go test ./...
demo:             ; go run ./cmd/adavit demo
bench:            ; go run ./cmd/adavit bench --variant deit-small --threads 1,2
bench-peers:      ; cd bench && go run . $(if $(TORCH),-torch) -out ../BENCHMARKS.md
bench-serve:      ; cd bench && go run . -serve -out ../BENCHMARKS.md
bench-overload:   ; cd bench && go run . -overload -overload-out ../out/overload
generate:         ; go generate ./internal/kernels ./serve/inferencepb ./cmd/adavit
ci:               ; .ci/run
# README's picture, drawn anew of the bundled adaptive model; not by int8, whose kernels differ from machine to machine.
.PHONY: depths
depths:
	go run ./cmd/adavit demo --precision f32 --out out/demo
	cp out/demo/easy-hard.png models/depths.png
# The two bundled models, from nothing: the same 50 epochs, and 40 more with the same schedule; the dense models teach
# the adaptive ones. Some three hours on two cores.
.PHONY: models
TRAIN = go run ./cmd/adavit train --data fashion-mnist --precision f32
models:
	$(TRAIN) --recipe fashion-dense --out out/fashion-30
	$(TRAIN) --recipe fashion-dense-more --init out/fashion-30 --out out/fashion-50 --set lr=5e-4 --set min_lr=1e-5
	$(TRAIN) --recipe fashion-dense-more --init out/fashion-50 --out out/fashion-70
	$(TRAIN) --recipe fashion-dense-more --init out/fashion-70 --out out/fashion-dense
	$(TRAIN) --recipe fashion-adaptive --init out/fashion-50 --out out/fashion-adaptive-70
	$(TRAIN) --recipe fashion-adaptive --init out/fashion-adaptive-70 --out out/fashion-adaptive \
		--set distill.model=out/fashion-70
	go run ./cmd/adavit calibrate --model out/fashion-adaptive --data fashion-mnist --threads 1
