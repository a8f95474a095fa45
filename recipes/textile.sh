#!/usr/bin/env bash
# Lays out the textile pictures as a folder that adavit trains on:
#
#   recipes/textile.sh DIR [SEED [SOURCE]]
#
# DIR gets train/, 1800 pictures of which the recipes hold 200 out to choose by, and test/, 200, with a folder for each
# class: nominal, local (a small defect) and global (another texture all over). SEED, 1 if left out, decides which
# pictures are for testing. SOURCE is the wheel that holds them, or a folder that it was unpacked to or installed in;
# left out, pip downloads it (42 MB).
#
# The pictures, 2000 simulated ones of 250x250, are those of Megahed et al. 2025 (arXiv:2501.12596), from the PyPI
# package conformal-clip-data 0.1.4, under the MIT licence, which goes to DIR/LICENSE.
set -euo pipefail
unset CDPATH

package=conformal-clip-data==0.1.4
sum=00144ccc179a887dbea15923be8cf236d0c0f49bf7fb6f7bb288e40b53fb1bcb
inside=conformal_clip_data/data/textile_images/simulated
licence=conformal_clip_data-0.1.4.dist-info/licenses/LICENSE
test_of=10 # one picture of so many is for testing

fail() {
	echo "textile.sh: $*" >&2
	exit 1
}

usage() {
	echo "usage: textile.sh DIR [SEED [SOURCE]]" >&2
	echo "SEED is a whole number from 1 to 999999, SOURCE the wheel of $package or a folder that has its files" >&2
	exit 2
}

[ $# -ge 1 ] && [ $# -le 3 ] && [ -n "$1" ] || usage
dir=$1
while [ "$dir" != / ] && [ "$dir" != "${dir%/}" ]; do dir=${dir%/}; done
seed=${2-1}
source=${3-}
[[ $seed =~ ^[1-9][0-9]{0,5}$ ]] || usage

next() {
	local d
	d=$(printf %q "$dir")
	cat <<EOF
$dir: 1800 pictures to learn from and 200 to test on, split by seed $seed
The pictures are under the MIT licence: $dir/LICENSE

What to do next, in a clone of adavit (recipes/textile-all.sh does all of it):
  go build -o bin/adavit ./cmd/adavit
A pretrained ViT, a model directory or hf:owner/name, learns the classes; a small model is cut out of it:
  bin/adavit train --recipe textile-dense --init hf:facebook/dinov2-small --new-head --data $d --out out/large
  bin/adavit train --recipe textile-student-dense --init out/large --data $d --out out/small
Its tokens learn to halt:
  bin/adavit train --recipe textile-adaptive --init out/small --data $d --out out/textile
And then:
  bin/adavit eval --model out/textile --data $d
  bin/adavit classify --model out/textile --pictures maps $d/test/local/*.jpg
EOF
}

# What is there already is looked at before anything is downloaded.
if [ -e "$dir" ]; then
	[ -f "$dir/SEED" ] || fail "$dir exists and is not of this script's making: name another folder, or remove it"
	made=$(cat "$dir/SEED")
	[ "$made" = "$seed" ] || fail "$dir was split by seed $made, not $seed: name another folder, or remove it"
	next
	exit 0
fi

# All is made in a folder beside DIR and renamed at the end, so that DIR is there whole or not at all.
parent=$(dirname "$dir")
mkdir -p "$parent"
work=$(cd "$(mktemp -d "$parent/.textile.XXXXXX")" && pwd)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
python=$(command -v python3 || command -v python || true)

checksum() {
	if command -v sha256sum >/dev/null; then
		sha256sum <"$1"
	elif command -v shasum >/dev/null; then
		shasum -a 256 <"$1"
	else
		fail "neither sha256sum nor shasum is installed, and the wheel has to be checked"
	fi | cut -d ' ' -f 1
}

if [ -z "$source" ]; then
	[ -n "$python" ] && "$python" -m pip --version >/dev/null 2>&1 ||
		fail "pip is not installed: install it, or give the wheel of $package as the third argument"
	"$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" "$package" >&2 ||
		fail "pip could not download $package: give the wheel as the third argument"
	source=$(echo "$work"/*.whl)
fi
[ -e "$source" ] || fail "$source does not exist"
root=$source
if [ ! -d "$source" ]; then
	got=$(checksum "$source")
	[ "$got" = "$sum" ] || fail "$source is damaged, or not the wheel of $package: its SHA-256 is $got, want $sum"
	root=$work/wheel
	if [ -n "$python" ]; then
		"$python" -m zipfile -e "$source" "$root"
	elif command -v unzip >/dev/null; then
		unzip -q "$source" -d "$root"
	else
		fail "neither Python nor unzip is installed: unpack $source elsewhere and give the folder as the third argument"
	fi || fail "$source could not be unpacked"
fi
[ -f "$root/$licence" ] || fail "$root has no $licence: want the folder that has the files of $package"

# deal reads the names of a class and prints them with their part before them. Awk's own rand differs from awk to awk,
# so chance comes from Lehmer's generator (16807, modulo 2^31 - 1), whose products a double holds exactly.
deal() {
	LC_ALL=C sort | awk -v state="$seed" -v of="$test_of" '
		function draw(n) { state = state * 16807 % 2147483647; return int(n * state / 2147483647) }
		{ name[NR] = $0 }
		END {
			for (i = 0; i < 10; i++) draw(1) # small seeds begin with small numbers
			for (i = NR; i > 1; i--) { k = 1 + draw(i); kept = name[i]; name[i] = name[k]; name[k] = kept }
			for (i = 1; i <= NR; i++) print (i <= NR / of ? "test" : "train"), name[i]
		}'
}

made=$work/made
for class in nominal:1000 local:500 global:500; do
	want=${class#*:} class=${class%:*}
	from=$root/$inside/$class
	(cd "$from" && find . -name '*.jpg') | deal >"$work/$class"
	n=$(wc -l <"$work/$class")
	[ "$n" -eq "$want" ] || fail "$from has $((n)) pictures, want $want"
	for part in train test; do
		mkdir -p "$made/$part/$class"
		sed -n "s/^$part //p" "$work/$class" | tr '\n' '\0' |
			(cd "$from" && xargs -0 sh -c 'cp "$@" "$0"' "$made/$part/$class")
	done
done
cp "$root/$licence" "$made/LICENSE"
echo "$seed" >"$made/SEED"
[ ! -e "$dir" ] || fail "another run made $dir meanwhile"
mv "$made" "$dir"
next
