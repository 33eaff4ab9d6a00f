#!/usr/bin/env bash
# run.sh with programs that only say what real ones would: every figure comes to its line and its gate, and what is missing is told.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/umed-gpu-run-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    sed 's/^/    /' out.txt >&2
    exit 1
}
line() { grep -qE -- "$1" out.txt || fail "no line $1"; }

mkdir -p build/bin path
script() { # FILE: a program of the lines on standard input
    { echo '#!/usr/bin/env bash'; cat; } >"$1"
    chmod +x "$1"
}
script path/nvidia-smi <<<'[ -z "${NO_GPU-}" ] || { echo "no devices"; exit 6; }; echo "GPU 0: as if"'
script path/mpirun <<<'while [ "$1" != -np ]; do shift; done; shift 2; exec "$@"'
script path/compute-sanitizer <<<'while [ "${1#--}" != "$1" ]; do shift 2; done; exec "$@"'
for test in cuda_plans gpu_ops gpu_networks gpu_protect gpu_bench gpu_ranks; do
    script build/bin/test_$test <<<'echo fine'
done
script build/bin/umed <<'UMED'
echo "$*" >>"$CALLS"
[ "${BROKEN-}" != "$1-$2" ] || exit 70
while [ $# -gt 0 ]; do
    case $1 in
    -o) out=$2 ;;
    bench) what=$2 ;;
    exploit | synth) what=$1 ;;
    --batch) batch=$2 ;;
    esac
    shift
done
case ${what-} in
step)
    echo "umed       median 20.0 ms, least 19.0 ms, 350.1 TFLOP/s, 3000 MB of the device"
    echo "           steps queued without a look at the loss 19.900 ms, so idle $IDLE % of a step"
    echo "           matrix products by pytorch 701.5 TFLOP/s, of which the step reaches $PRODUCTS"
    echo "pytorch    median 25.0 ms, least 24.0 ms, 6000 MB of the device, umed / pytorch $MEMORY (PyTorch 9)"
    echo "umed against pytorch, median of 9 interleaved steps: $([ "$batch" = 32 ] && echo 1.32 || echo 1.64)x"
    ;;
pass)
    echo "slowest: bn_bwd_apply 32,28,512: ${SLOWEST}x"
    echo "geometric mean over 40 passes, median of 9 rounds each, share of the copy: 0.93x"
    ;;
pgd)
    echo "umed against pytorch, median of 9 interleaved turns of 10 steps: $([ -n "${UMED_PEER_COMPILE-}" ] && echo 1.31 || echo 1.62)x"
    ;;
synth) : >"$out" ;;
exploit) printf '%064d\n' 7 >"$out"; echo "test dsc 61.5" ;;
*) echo "${what-nothing}" ;;
esac
UMED

run() { # EXIT-CODE OUTDIR OPTION...
    local want=$1 to=$2 got
    shift 2
    PATH=$work/path:$PATH bash "$here/run.sh" --limit-s 3000 -o "$to" "$@" build >out.txt 2>&1
    got=$?
    [ "$got" = "$want" ] || fail "exit code $got, expected $want"
}

export CALLS=$work/calls IDLE=0.71 PRODUCTS=0.499 MEMORY=0.50 SLOWEST=0.86 BROKEN='' NO_GPU=''
run 0 good
line "^E3 ops within the tolerances of their precision +pass$"
line "^E4 benchmarks check what they time +pass$"
line "^E4 G-1 U-Net w=64, 224, batch 32, bf16, PyTorch eager +1.32x, gate 1.15x: pass$"
line "^E4 G-3 that step, of the peer's matrix products \(701.5 TFLOP/s\) +0.499, gate 0.42: pass$"
line "^E4 G-4 passes, beside a copy of as many bytes in the same rounds +0.93x, gate 0.85x: pass$"
line "^E4 G-4 the slowest pass \(bn_bwd_apply 32,28,512\) +0.86x, gate 0.85x: pass$"
line "^E4 G-5 idle share of the step in bf16 +0.71 %, gate 2 %: pass$"
line "^E4 G-6 step of projected gradients, batch 32, bf16, PyTorch eager +1.62x, gate 1.25x: pass$"
line "^E4 G-6 the same, PyTorch compiled +1.31x, gate 1.25x: pass$"
line "^E4 memory of that step, umed / PyTorch +0.50, gate 0.80: pass$"
line "^E5 two ranks on one GPU equal one +pass$"
line "^E4 G-2 the same, batch 4, eager +1.64x, gate 1.5x: pass$"
! grep -E "BELOW|ABOVE|FAILED|no figure|not run" out.txt || fail "something did not pass"
cmp -s <(grep "^E" out.txt) <(grep "^E" good/summary.txt) || fail "summary.txt holds something else"

full="--size 224 --set model.base_width=64"
for call in "bench step --backend cuda -q --peer pytorch --precision bf16 --batch 32 $full" \
    "bench pass --backend cuda -q --precision bf16" \
    "bench pgd --backend cuda -q --peer pytorch --precision bf16 --batch 32 $full"; do
    grep -qxF "$call" calls || fail "no call $call"
done

export IDLE=-0.05 PRODUCTS=0.41 MEMORY=0.81 SLOWEST=0.4
run 0 slow
line "G-3 .* 0.41, gate 0.42: BELOW$"
line "G-4 the slowest pass .* 0.4x, gate 0.85x: BELOW$"
line "G-5 idle share .* -0.05 %, gate 2 %: pass$"
line "memory .* 0.81, gate 0.80: ABOVE$"
export IDLE=2.00
run 0 idle
line "G-5 idle share .* 2.00 %, gate 2 %: ABOVE$"

BROKEN=bench-pgd run 1 broken
line "^pgd +FAILED \(70\)"
line "^E4 G-6 step of projected gradients, .* no figure$"
line "^E4 G-4 passes, .* pass$"
run 0 broken # what failed is done again, the rest is not
line "^E4 G-6 the same, PyTorch compiled +1.31x, gate 1.25x: pass$"

run 0 quick --quick
! grep -q "G-4" out.txt || fail "full size in a quick run"
NO_GPU=1 run 77 none
echo "every figure has its line"
