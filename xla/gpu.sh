#!/usr/bin/env bash
# Training steps on an NVIDIA GPU: DeiT-Ti and DeiT-S at 224 pixels, dense, masked and in buckets, in float32 and bf16,
# beside PyTorch with torch.compile on the same card, as a table:
#
#	xla/gpu.sh fetch FOLDER               JAX's CUDA plugin and PyTorch from PyPI (7 GB), adavit-xla built
#	xla/gpu.sh run FOLDER [BATCH]         the table, in FOLDER/gpu.md; needs no network
#	xla/gpu.sh test FOLDER                the tests of this module on the card
#
# fetch wants python3 with pip and venv, Go and a C compiler; run and test want a driver for CUDA 12 and for what PyTorch
# is built for. Each figure is the median of 30 steps, from pictures in the host's memory to new weights; the programs
# run one after the other, row by row.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
what=${1:-} folder=${2:-}
[ -n "$folder" ] || { sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
plugin=$folder/jax/jax_plugins/xla_cuda12/xla_cuda_plugin.so
cuda=$folder/jax/nvidia

fetch() {
	python3 -m pip install -q --no-deps --target "$folder/jax" jax-cuda12-pjrt==0.11.2 nvidia-cublas-cu12==12.9.3.13 \
		nvidia-cuda-cupti-cu12==12.9.79 nvidia-cuda-nvcc-cu12==12.9.86 nvidia-cuda-runtime-cu12==12.9.79 \
		nvidia-cudnn-cu12==9.28.0.42 nvidia-cufft-cu12==11.4.1.4 nvidia-cusolver-cu12==11.7.5.82 \
		nvidia-cusparse-cu12==12.5.10.65 nvidia-nccl-cu12==2.32.3 nvidia-nvjitlink-cu12==12.9.86 \
		nvidia-cuda-nvrtc-cu12==12.9.86 nvidia-nvshmem-cu12==3.8.0
	test -e "$plugin"
	python3 -m venv "$folder/torch"
	"$folder/torch/bin/pip" install -q torch==2.15.0 numpy
	(cd "$here" && go build -o "$folder/adavit-xla" ./cmd/adavit-xla && go test -c -o "$folder/xla.test" .)
}

with_cuda() { # XLA looks for ptxas and libdevice below xla_gpu_cuda_data_dir, and for libraries by their names
	ADAVIT_PJRT_PLUGIN=$plugin LD_LIBRARY_PATH=$(printf '%s:' "$cuda"/*/lib)${LD_LIBRARY_PATH:-} \
		XLA_FLAGS="--xla_gpu_cuda_data_dir=$cuda/cuda_nvcc" PATH=$cuda/cuda_nvcc/bin:$PATH "$@"
}

run() {
	local batch=${1:-256} table=$folder/gpu.md
	{
		echo "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -1), batch $batch, images/s"
		echo
		echo "| model | precision | PyTorch 2.15, compile | adavit-xla dense | masked | buckets |"
		echo "|---|---|---|---|---|---|"
	} | tee "$table"
	for variant in deit-tiny deit-small; do
		for precision in f32 bf16; do
			row="| $variant | $precision | $("$folder/torch/bin/python" "$here/peer.py" $variant $precision "$batch") |"
			for mode in dense masked buckets; do
				row+=" $(with_cuda "$folder/adavit-xla" bench --variant $variant --mode $mode --precision $precision \
					--batch "$batch" --json | sed 's/.*"images_per_second":\([0-9]*\).*/\1/') |"
			done
			echo "$row" | tee -a "$table"
		done
	done
}

case $what in
fetch) fetch ;;
run) run "${3:-256}" ;;
test) with_cuda "$folder/xla.test" -test.v -test.short ;;
*) sed -n '2,11s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
