#!/usr/bin/env bash
# Training steps on an NVIDIA GPU: DeiT-Ti and DeiT-S at 224 pixels, dense, masked and in buckets, in float32 and bf16,
# beside PyTorch with torch.compile on the same card, as a table:
#
#	xla/gpu.sh fetch FOLDER               JAX's CUDA plugin and PyTorch from PyPI (7 GB), adavit-xla built
#	xla/gpu.sh run FOLDER [BATCH]         the table, in FOLDER/gpu.md; needs no network
#	xla/gpu.sh test FOLDER                the tests of this module on the card
#	xla/gpu.sh dry FOLDER                 a line of the table, of two steps of two pictures on the processor, to try it:
#	                                      by the plugin that $ADAVIT_PJRT_PLUGIN names and $PYTHON with PyTorch
#
# fetch wants python3 with pip and venv, Go and a C compiler; run and test want a driver for CUDA 12 and for what PyTorch
# is built for. Each figure is the median of 30 steps, from pictures in the host's memory to new weights; the programs
# run one after the other, row by row. Where one fails (for want of memory, say: take a smaller BATCH), the table has a
# dash and FOLDER/gpu.log the reason.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
what=${1:-} folder=${2:-}
usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 2; }
[ -n "$folder" ] || usage
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
plugin=$folder/jax/jax_plugins/xla_cuda12/xla_cuda_plugin.so
cuda=$folder/jax/nvidia
python=$folder/torch/bin/python device=cuda steps=30 models="deit-tiny deit-small"

build() { (cd "$here" && go build -o "$folder/adavit-xla" ./cmd/adavit-xla && go test -c -o "$folder/xla.test" .); }

fetch() {
	python3 -m pip install -q --no-deps --target "$folder/jax" jax-cuda12-pjrt==0.11.2 nvidia-cublas-cu12==12.9.3.13 \
		nvidia-cuda-cupti-cu12==12.9.79 nvidia-cuda-nvcc-cu12==12.9.86 nvidia-cuda-runtime-cu12==12.9.79 \
		nvidia-cudnn-cu12==9.28.0.42 nvidia-cufft-cu12==11.4.1.4 nvidia-cusolver-cu12==11.7.5.82 \
		nvidia-cusparse-cu12==12.5.10.65 nvidia-nccl-cu12==2.32.3 nvidia-nvjitlink-cu12==12.9.86 \
		nvidia-cuda-nvrtc-cu12==12.9.86 nvidia-nvshmem-cu12==3.8.0
	test -e "$plugin"
	python3 -m venv "$folder/torch"
	"$folder/torch/bin/pip" install -q torch==2.15.0 numpy
	build
}

with_cuda() { # XLA looks for ptxas and libdevice below xla_gpu_cuda_data_dir, and for libraries by their names
	ADAVIT_PJRT_PLUGIN=$plugin LD_LIBRARY_PATH=$(printf '%s:' "$cuda"/*/lib)${LD_LIBRARY_PATH:-} \
		XLA_FLAGS="--xla_gpu_cuda_data_dir=$cuda/cuda_nvcc" PATH=$cuda/cuda_nvcc/bin:$PATH "$@"
}

# cell COMMAND… is the number that it prints, by itself or as images_per_second; a dash where it fails.
cell() {
	local out
	if out=$("$@" 2>>"$folder/gpu.log"); then
		sed 's/.*"images_per_second":\([0-9.]*\).*/\1/' <<<"$out" | awk '{printf $1 < 10 ? "%.1f" : "%.0f", $1}'
	else
		printf '–'
	fi
}

table() { # WHERE BATCH BENCH…
	local where=$1 batch=$2 row variant precision mode
	shift 2
	: >"$folder/gpu.log"
	{
		echo "$where, batch $batch, images/s"
		echo
		echo "| model | precision | PyTorch, compile | adavit-xla dense | masked | buckets |"
		echo "|---|---|---|---|---|---|"
	} | tee "$folder/gpu.md"
	for variant in $models; do
		for precision in f32 bf16; do
			row="| $variant | $precision | $(cell "$python" "$here/peer.py" $variant $precision "$batch" $steps $device) |"
			for mode in dense masked buckets; do
				row+=" $(cell "$@" "$folder/adavit-xla" bench --variant $variant --mode $mode --precision $precision \
					--batch "$batch" --steps $steps --json) |"
			done
			echo "$row" | tee -a "$folder/gpu.md"
		done
	done
}

case $what in
fetch) fetch ;;
run) table "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -1)" "${3:-256}" with_cuda ;;
test) with_cuda "$folder/xla.test" -test.v -test.short ;;
dry)
	python=${PYTHON:-python3} device=cpu steps=2 models=deit-tiny
	build
	table "a dry run on the processor" 2 env
	! grep -q – "$folder/gpu.md" || { cat "$folder/gpu.log" && exit 1; }
	;;
*) usage ;;
esac
