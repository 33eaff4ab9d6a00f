#!/usr/bin/env bash
# What only a GPU can show, in one command, on a machine with a GPU, a driver and cuDNN, and nothing else of ours:
#
#     tests/gpu/run.sh [--quick] [--data FOLDER] [--limit-s SECONDS] [-o OUTDIR] [BUILD]
#
# BUILD: a build folder (default: build), or a folder that holds bin/ with umed and the test programs, lib/ and env.sh, as made from a
# build on another machine. OUTDIR (default: gpu-results) receives a log per part and summary.txt. --quick leaves out compute-sanitizer and
# everything at full size. FOLDER: images and masks of BUSI (layout "busi") for the paper's cells; without it phantoms take their place.
# The cells stop after SECONDS (default 300) with everything saved; the same command goes on with them.
# Parts run to the end whatever fails. Exit: 0 all passed, 1 something failed, 77 no GPU.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
quick= data= limit=300 out=gpu-results build=$root/build
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=1 ;;
    --data) data=$(cd "$2" && pwd); shift ;;
    --limit-s) limit=$2; shift ;;
    -o) out=$2; shift ;;
    *) build=$1 ;;
    esac
    shift
done
build=$(cd "$build" && pwd) || exit 1
# shellcheck source=/dev/null
[ -e "$build/env.sh" ] && . "$build/env.sh"
mkdir -p "$out"
out=$(cd "$out" && pwd)
umed=$build/bin/umed
program() { if [ -x "$build/bin/$1" ]; then echo "$build/bin/$1"; else echo "$build/tests/gpu/$1"; fi; }
export UMED_CACHE_DIR=${UMED_CACHE_DIR:-$out/cache}

if ! nvidia-smi -L >"$out/devices.txt" 2>&1; then
    echo "skipped: no GPU here ($(tail -n 1 "$out/devices.txt"))"
    exit 77
fi
: >"$out/summary.txt"
failed=0
# part NAME COMMAND...: its output in NAME.log, a line with the outcome and the last line of the log in the summary.
part() {
    local name=$1 began=$SECONDS rc word
    shift
    "$@" >"$out/$name.log" 2>&1
    rc=$?
    case $rc in 0) word=ok ;; 75) word="ok, stopped by the limit" ;; 77) word=skipped ;; *) word="FAILED ($rc)"; failed=1 ;; esac
    printf '%-26s %-10s %5d s  %s\n' "$name" "$word" $((SECONDS - began)) "$(tail -n 1 "$out/$name.log" | cut -c1-120)" | tee -a "$out/summary.txt"
}

part info "$umed" info
part plans "$(program test_cuda_plans)"
part ops "$(program test_gpu_ops)"
part networks "$(program test_gpu_networks)"

# Peers of the benchmarks, which need a python3 with PyTorch.
peers=$out/peers
mkdir -p "$peers"
cp "$root/tests/bench/pytorch.py" "$peers/pytorch"
cp "$root/tests/ref/torch_nets.py" "$peers/"
chmod +x "$peers/pytorch"
export UMED_PEERS=$peers
step() { "$umed" bench step --backend cuda --peer pytorch -q "$@"; }
compiled() { UMED_PEER_COMPILE=1 step "$@"; }
full="--size 224 --set model.base_width=64"
small="--size 128 --batch 16 --set model.base_width=16"
# shellcheck disable=SC2086
if [ -z "$quick" ]; then
    part bench-full-b32 step --precision bf16 --batch 32 $full
    part bench-full-b32-compiled compiled --precision bf16 --batch 32 $full
    part bench-full-b4 step --precision bf16 --batch 4 $full
    part bench-small step --precision bf16 $small
    part bench-full-tf32 step --precision tf32 --batch 32 $full
    part bench-umed step --model umed --precision bf16 --batch 8 $full --set umed.gen.base_width=64
    part roofline "$umed" bench step --dry-run --backend cuda --precision bf16 --batch 32 $full
    part op-times "$umed" bench step --backend cuda --precision bf16 --batch 32 $full --log-level debug
    for tool in memcheck initcheck synccheck; do
        part "sanitizer-$tool" timeout 240 compute-sanitizer --tool "$tool" --error-exitcode 9 "$(program test_gpu_networks)"
    done
else
    part bench-small step --precision bf16 $small
fi

# Two ranks on one GPU, gradients through host memory, against one rank.
ranks() {
    rm -rf "$out/ranks"
    mkdir -p "$out/ranks"
    cd "$out/ranks" || return 1
    local settings="--backend cuda --precision fp32 --set model.base_width=8 --set exploiter.epochs=3 --set exploiter.batch=8"
    "$umed" synth --n 48 --size 64 --seed 3 -o d.h5 -q || return 1
    # shellcheck disable=SC2086
    "$umed" exploit --data d.h5 --test d.h5 --model unet $settings -o one.h5 -q >one.txt || return 1
    command -v mpirun >/dev/null || { echo "no mpirun here"; return 77; }
    # shellcheck disable=SC2086
    mpirun --allow-run-as-root --oversubscribe -np 2 "$umed" exploit --data d.h5 --test d.h5 --model unet $settings -o two.h5 -q >two.txt || return 1
    local one two
    one=$(awk '$1 == "test" { print $3 }' one.txt)
    two=$(awk '$1 == "test" { print $3 }' two.txt)
    awk "BEGIN { d = ${one:-1000} - ${two:--1000}; exit !(d < 2 && d > -2) }" || { echo "DSC of one rank '$one', of two '$two'"; return 1; }
    echo "DSC of one rank $one, of two $two: within 2 percent points"
}
part ranks ranks

# Cells of the paper's tables at full size, the most telling first, until the limit.
cells() {
    cd "$out" || return 1
    if [ ! -e busi.h5 ]; then
        if [ -n "$data" ]; then
            "$umed" import "$data" --layout busi --size 224 -o busi.h5 || return 1
        else
            "$umed" synth --n 120 --size 224 --channels 3 -o busi.h5 || return 1
        fi
    fi
    cat >cells.cfg <<'CFG'
run: { backend = "cuda"; precision = "bf16"; checkpoint_s = 60.0; };
grid: { datasets = ( { name = "busi"; path = "busi.h5"; } );
        blocks = ( { tables = [1]; protectors = ["none", "umed"]; exploiters = ["unet"]; defenses = ["none"]; },
                   { tables = [1]; protectors = ["em", "tap", "lsp", "ar", "sep"]; exploiters = ["unet"]; defenses = ["none"]; } );
        seeds = [1]; };
CFG
    "$umed" grid cells.cfg -o cells --limit-s "$limit"
    local rc=$?
    "$umed" report cells --table 1
    return $rc
}
[ -n "$quick" ] || part cells cells

echo
cat "$out/summary.txt"
exit $failed
