#!/usr/bin/env bash
# From a fresh Debian 12 to the first table: installs what is missing, builds, makes synthetic images, trains the same U-Net on
# clean and on protected ones, and prints how well each does on clean test images. Run it again to go on after an interruption.
#
#   BUILD_DIR  build folder (default build)      OUT  folder of the sweep (default out/quickstart)
#   JOBS       compiler processes (default: cores)
# Further arguments go to `umed grid`, for example --limit-s 600. The exit code is 0 only when the sweep is complete.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${BUILD_DIR:=build}" "${OUT:=out/quickstart}" "${JOBS:=$(nproc)}"
umed=$BUILD_DIR/bin/umed
data=out/phantom.h5 # where configs/quickstart.cfg looks for it
say() { printf '\n-- %s\n' "$*" >&2; }

say "dependencies"
bash tests/deps.sh

say "building in $BUILD_DIR"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { cmake -S . -B "$BUILD_DIR" -DCMAKE_BUILD_TYPE=Release && cmake --build "$BUILD_DIR" -j"$JOBS" --target umed; } >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    exit 70
fi
"$umed" info >&2

mkdir -p out
if [ ! -e "$data" ]; then
    say "640 synthetic images with masks: $data"
    "$umed" synth --n 640 --size 64 --seed 1 -o "$data"
fi

say "what the sweep will do, and its cost in floating-point operations"
"$umed" grid configs/quickstart.cfg -o "$OUT" --dry-run "$@" >&2

say "the sweep, into $OUT"
start=$SECONDS rc=0
"$umed" grid configs/quickstart.cfg -o "$OUT" "$@" || rc=$?
say "$((SECONDS - start)) s in the sweep, $SECONDS s in all; exit code $rc"

say "result"
"$umed" report "$OUT" || rc=$((rc ? rc : $?))
exit "$rc"
