#!/usr/bin/env bash
# From nothing to a classified picture: textile inspection with a small model that computes only what it needs.
#
#   recipes/textile-all.sh DIR [MODEL [SEED]]
#
# Fetches the pictures (recipes/textile.sh), fine-tunes a pretrained ViT on them (textile-dense; MODEL is DINOv2-S/14
# from the hub unless you name a directory or hf:owner/name), cuts a model of DeiT-Ti's size out of that
# (textile-student-dense), has its tokens learn to halt (textile-adaptive), and says what became of the test pictures.
# All of it lies in DIR. A run that was stopped goes on with the same command. On two cores it takes half an hour.
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 3 ] || [ -z "$1" ]; then
	echo "usage: textile-all.sh DIR [MODEL [SEED]]" >&2
	exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
model=${2-hf:facebook/dinov2-small}
seed=${3-1}

mkdir -p "$dir"
"$here/textile.sh" "$dir/pictures" "$seed" >&2
adavit=$dir/adavit
(cd "$here/.." && go build -o "$(cd "$dir" && pwd)/adavit" ./cmd/adavit)

train() { # NAME RECIPE INIT [FLAG…]
	local out=$dir/$1 recipe=$2 init=$3
	shift 3
	[ -e "$out/config.json" ] || # a model is there once its run is over
		"$adavit" train --recipe "$recipe" --init "$init" --data "$dir/pictures" --out "$out" --resume "$@"
}
train large textile-dense "$model" --new-head
train small textile-student-dense "$dir/large"
train adaptive textile-adaptive "$dir/small"

for name in large small adaptive; do
	"$adavit" eval --model "$dir/$name" --data "$dir/pictures"
done
set -- "$dir"/pictures/test/local/*.jpg
rm -rf "$dir/maps"
"$adavit" classify --model "$dir/adaptive" --pictures "$dir/maps" "$1"
