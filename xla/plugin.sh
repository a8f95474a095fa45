#!/usr/bin/env bash
# Fetches XLA for this machine's processor as a PJRT plugin (63 MB from PyPI, by its sum), unpacks it (202 MB) into a
# folder and prints the file's name:
#
#	export ADAVIT_PJRT_PLUGIN=$(xla/plugin.sh [FOLDER])     # the default is the user's cache
#
# It wants python3 with pip, Linux on x86-64 and glibc 2.27 or newer. The wheel is not installed, nor is what it names
# as its needs.
set -euo pipefail
wheel=lammps_jax_pjrt_cpu-0.11.2-py3-none-manylinux_2_27_x86_64.whl
sum=1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/adavit/xla}
file=$folder/lammps_jax_pjrt_cpu-0.11.2/pjrt_c_api_cpu_plugin.so
if [ ! -e "$file" ]; then
	mkdir -p "$folder"
	work=$(mktemp -d "$folder/fetch.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
		--platform manylinux_2_27_x86_64 -d "$work" lammps-jax-pjrt-cpu==0.11.2 >&2
	echo "$sum  $work/$wheel" | sha256sum --check --quiet >&2
	python3 -m zipfile -e "$work/$wheel" "$work"
	mkdir -p "$(dirname "$file")"
	mv "$work/lammps_jax_pjrt_cpu/$(basename "$file")" "$file"
fi
echo "$file"
