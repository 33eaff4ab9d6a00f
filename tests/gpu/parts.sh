#!/usr/bin/env bash
# The parts of run.sh that are more than one program: parts.sh NAME [ARGUMENT]... From the environment: umed, out, data and seconds (run.sh).
set -u
: "${umed:?}" "${out:?}" "${data=}" "${seconds:=300}"

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

# under_mpirun RANKS PROGRAM
under_mpirun() {
    command -v mpirun >/dev/null || { echo "no mpirun here"; return 77; }
    mpirun --allow-run-as-root --oversubscribe --bind-to none -np "$@"
}

# The same training twice: the same bits.
repeats() {
    rm -rf "$out/repeats"
    mkdir -p "$out/repeats"
    cd "$out/repeats" || return 1
    "$umed" synth --n 48 --size 64 --seed 3 -o d.h5 -q || return 1
    local i
    for i in 1 2; do
        "$umed" exploit --data d.h5 --test d.h5 --model unet --backend cuda --precision bf16 --set model.base_width=16 --set exploiter.epochs=3 \
            -o "$i.h5" -q >"$i.txt" || return 1
        grep -aoE '[0-9a-f]{64}' "$i.h5" | sort >"$i.hashes" # science_sha256 over all numbers among them
    done
    cmp 1.hashes 2.hashes || return 1
    echo "two trainings in bf16 have the same hashes: $(awk '$1 == "test"' 1.txt)"
}

# Cells of the paper's Table 1 at full size, U-Net, of these protectors, until the limit.
cells() {
    local protectors
    protectors=$(printf ', "%s"' "$@")
    cd "$out" || return 1
    if [ ! -e busi.h5 ]; then
        if [ -n "$data" ]; then
            "$umed" import "$data" --layout busi --size 224 -o busi.h5 || return 1
        else
            "$umed" synth --n 120 --size 224 --channels 3 -o busi.h5 || return 1
        fi
    fi
    cat >cells.cfg <<CFG
run: { backend = "cuda"; precision = "bf16"; checkpoint_s = 60.0; };
grid: { datasets = ( { name = "busi"; path = "busi.h5"; } );
        blocks = ( { tables = [1]; protectors = [${protectors#, }]; exploiters = ["unet"]; defenses = ["none"]; } );
        seeds = [1]; };
CFG
    "$umed" grid cells.cfg -o cells --limit-s "$seconds"
    local rc=$?
    "$umed" report cells --table 1
    return "$rc"
}

case ${1:-} in
ranks | repeats | cells | under_mpirun) "$@" ;;
*) echo "usage: parts.sh ranks|repeats|cells PROTECTOR...|under_mpirun RANKS PROGRAM" >&2; exit 64 ;;
esac
