#!/usr/bin/env bash
# What only a GPU can show, in one command, on a machine with a GPU, a driver and cuDNN, and nothing else of ours:
#
#     tests/gpu/run.sh [--quick] [--again] [--data FOLDER] [--limit-s SECONDS] [-o OUTDIR] [BUILD]
#
# BUILD: a build folder (default: build), or a folder that holds bin/ with umed and the test programs, lib/ and env.sh, as made from a
# build on another machine. OUTDIR (default: gpu-results) receives a log per part and summary.txt. FOLDER: images and masks of BUSI (layout
# "busi") for the paper's cells; without it phantoms take their place. --quick leaves out compute-sanitizer and everything at full size.
#
# Parts come in the order of what they tell, and run to the end whatever fails. With --limit-s no part begins that is not likely to end in time, and the
# paper's cells stop with everything saved; the same command goes on with what is missing (--again: from the start).
# The lines at the end hold every figure beside its gate. Exit: 0 all passed, 1 something failed, 75 out of time, 77 no GPU.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
quick='' again='' data='' limit=1500 out=gpu-results build=$root/build
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=1 ;;
    --again) again=1 ;;
    --data) data=$(cd "$2" && pwd) || exit 1; shift ;;
    --limit-s) limit=$2; shift ;;
    -o) out=$2; shift ;;
    *) build=$1 ;;
    esac
    shift
done
build=$(cd "$build" && pwd) || exit 1
# shellcheck source=/dev/null
[ -e "$build/env.sh" ] && . "$build/env.sh"
[ -n "$again" ] && rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
export umed=$build/bin/umed out data
program() { if [ -x "$build/bin/$1" ]; then echo "$build/bin/$1"; else echo "$build/tests/gpu/$1"; fi; }
export UMED_CACHE_DIR=${UMED_CACHE_DIR:-$out/cache}

if ! nvidia-smi -L >"$out/devices.txt" 2>&1; then
    echo "skipped: no GPU here ($(tail -n 1 "$out/devices.txt"))"
    exit 77
fi
failed=0 left=0
# part NAME NEEDS COMMAND...: NEEDS is the seconds that it is likely to take. Its output goes to NAME.log; NAME.done keeps the line that tells the outcome.
part() {
    local name=$1 needs=$2 began=$SECONDS rc word
    shift 2
    if [ -e "$out/$name.done" ]; then
        cat "$out/$name.done"
        return
    fi
    if [ $((limit - SECONDS)) -lt "$needs" ]; then
        printf '%-26s not begun: takes about %d s\n' "$name" "$needs"
        left=1
        return
    fi
    export seconds=$((limit - SECONDS - 20))
    timeout -k 10 $((limit - SECONDS + 5)) "$@" >"$out/$name.log" 2>&1
    rc=$?
    case $rc in 0) word=ok ;; 75) word=stopped left=1 ;; 77) word=skipped ;; *) word="FAILED ($rc)"; failed=1 ;; esac
    printf '%-26s %-10s %5d s  %s\n' "$name" "$word" $((SECONDS - began)) "$(tail -n 1 "$out/$name.log" | cut -c1-120)" | tee "$out/$name.line"
    case $rc in 0 | 77) mv "$out/$name.line" "$out/$name.done" ;; esac
}

settings_full="--size 224 --set model.base_width=64"
settings_small="--size 128 --batch 16 --set model.base_width=16"

part info 2 "$umed" info
part plans 5 "$(program test_cuda_plans)"
part ops 60 "$(program test_gpu_ops)"
part networks 120 "$(program test_gpu_networks)"
part protectors 60 "$(program test_gpu_protect)"
part bench 60 "$(program test_gpu_bench)"
part repeats 40 bash "$here/parts.sh" repeats

# Peers of the benchmarks, which need a python3 with PyTorch.
peers=$out/peers
mkdir -p "$peers"
cp "$root/tests/bench/pytorch.py" "$peers/pytorch"
cp "$root/tests/ref/torch_nets.py" "$peers/"
chmod +x "$peers/pytorch"
export UMED_PEERS=$peers
step="$umed bench step --backend cuda -q"
against="$step --peer pytorch"
pgd="$umed bench pgd --backend cuda -q --peer pytorch"
sanitizer() { part "sanitizer-$1" 100 compute-sanitizer --tool "$1" --error-exitcode 9 "$(program test_gpu_networks)" unet; }
# shellcheck disable=SC2086
{
    if [ -z "$quick" ]; then
        part full-b32 60 $against --precision bf16 --batch 32 $settings_full
        part full-b4 40 $against --precision bf16 --batch 4 $settings_full
    fi
    part small 40 $against --precision bf16 $settings_small
    if [ -z "$quick" ]; then
        part full-tf32 60 $against --precision tf32 --batch 32 $settings_full
        part pgd 60 $pgd --precision bf16 --batch 32 $settings_full
        part full-b32-compiled 150 env UMED_PEER_COMPILE=1 $against --precision bf16 --batch 32 $settings_full
        sanitizer memcheck
    fi
    part ranks 40 bash "$here/parts.sh" ranks
    part rank-sums-1 30 bash "$here/parts.sh" under_mpirun 1 "$(program test_gpu_ranks)"
    part rank-sums-2 60 bash "$here/parts.sh" under_mpirun 2 "$(program test_gpu_ranks)"
    if [ -z "$quick" ]; then
        part cells 120 bash "$here/parts.sh" cells none umed
        part passes 150 "$umed" bench pass --backend cuda -q --precision bf16
        part pgd-compiled 150 env UMED_PEER_COMPILE=1 $pgd --precision bf16 --batch 32 $settings_full
        part op-times 40 $step --precision bf16 --batch 32 $settings_full --log-level debug
        part roofline 5 "$umed" bench step --dry-run --backend cuda --precision bf16 --batch 32 $settings_full
        part generator-step 90 $against --model umed --precision bf16 --batch 8 $settings_full --set umed.gen.base_width=64
        sanitizer initcheck
        sanitizer synccheck
        part sanitizer-ops 200 compute-sanitizer --tool memcheck --error-exitcode 9 "$(program test_gpu_ops)"
        part more-cells 120 bash "$here/parts.sh" cells none umed em tap lsp ar sep
    fi
}

# ---- figures beside their gates ----

outcome() { # TEXT PART...: pass when all of them are done and none was skipped
    local text=$1 name word=pass
    shift
    for name in "$@"; do
        if [ ! -e "$out/$name.done" ]; then
            word="not run"
            if grep -q stopped "$out/$name.line" 2>/dev/null; then word="goes on with the next call"; break; fi
            if [ -e "$out/$name.line" ]; then word=FAILED; break; fi
        elif grep -q skipped "$out/$name.done"; then
            word="skipped ($name)"
        fi
    done
    printf '%-66s %s\n' "$text" "$word"
}
verdict() { # TEXT VALUE UNIT RELATION GATE, RELATION being what passes: >=, <= or <
    local word=ABOVE
    [ "$4" = ">=" ] && word=BELOW
    if [ -z "$2" ]; then
        printf '%-66s %s\n' "$1" "no figure"
    else
        printf '%-66s %s%s, gate %s%s: %s\n' "$1" "$2" "$3" "$5" "$3" "$(awk "BEGIN { print ($2 $4 $5 ? \"pass\" : \"$word\") }")"
    fi
}
number() { # PART PATTERN: what \( \) of a sed pattern finds first in its log
    sed -n "s/$2/\\1/p" "$out/$1.log" 2>/dev/null | head -n 1
}
ratio() { # TEXT PART GATE: the last line of its log ends in "1.23x"
    verdict "$1" "$(tail -n 1 "$out/$2.log" 2>/dev/null | sed -n 's/.* \([0-9.]*\)x$/\1/p')" x '>=' "$3"
}
{
    outcome "E3 ops within the tolerances of their precision" ops
    outcome "E3 whole networks, loss curves, recorded runs" networks
    outcome "E3 fits of the protectors that learn" protectors
    outcome "E3 the same bits run to run" repeats
    outcome "E4 benchmarks check what they time" bench
    if [ -z "$quick" ]; then
        outcome "E3 compute-sanitizer clean" sanitizer-memcheck sanitizer-initcheck sanitizer-synccheck sanitizer-ops
        ratio "E4 G-1 U-Net w=64, 224, batch 32, bf16, PyTorch eager" full-b32 1.15
        ratio "E4 G-1 the same, PyTorch compiled" full-b32-compiled 1.0
        ratio "E4 G-2 the same, batch 4, eager" full-b4 1.5
        products=$(number full-b32 '.*matrix products by pytorch \([0-9.]*\) TFLOP\/s.*')
        verdict "E4 G-3 that step, of the peer's matrix products (${products:-?} TFLOP/s)" \
            "$(number full-b32 '.*of which the step reaches \([0-9.]*\)$')" "" '>=' 0.42
        ratio "E4 G-4 passes, beside a copy of as many bytes in the same rounds" passes 0.85
        slowest=$(number passes '^slowest: \(.*\): [0-9.]*x$')
        verdict "E4 G-4 the slowest pass (${slowest:-?})" "$(number passes '^slowest: .* \([0-9.]*\)x$')" x '>=' 0.85
        ratio "E4 G-5 batch 32 in tf32, PyTorch tf32" full-tf32 1.1
        verdict "E4 G-5 idle share of the step in bf16" "$(number full-b32 '.*so idle \(-\{0,1\}[0-9.]*\) % of a step$')" " %" '<' 2
        ratio "E4 G-6 step of projected gradients, batch 32, bf16, PyTorch eager" pgd 1.25
        ratio "E4 G-6 the same, PyTorch compiled" pgd-compiled 1.25
        ratio "E4 generator step of UMed (no gate of its own)" generator-step 1.0
        verdict "E4 memory of that step, umed / PyTorch" "$(number full-b32 '.*umed \/ pytorch \([0-9.]*\).*')" "" '<=' 0.80
    fi
    ratio "E4 G-2 U-Net w=16, 128, batch 16, bf16, eager" small 1.5
    outcome "E5 two ranks on one GPU equal one" ranks rank-sums-2
    outcome "E5 NCCL with one rank" rank-sums-1
    if [ -z "$quick" ]; then
        outcome "E6 U-Net on BUSI at full size, none and UMed" cells
        tail -n 12 "$out/cells.log" 2>/dev/null
    fi
} | tee "$out/summary.txt"
[ $failed -ne 0 ] && exit 1
[ $left -ne 0 ] && exit 75
exit 0
