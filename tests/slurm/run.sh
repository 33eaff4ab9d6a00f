#!/usr/bin/env bash
# The job scripts of jobs/slurm themselves, under a real Slurm that this script installs (as root, when it is missing), starts on this
# machine and ends again.
#
#   bash tests/slurm/run.sh UMED PROBE [CASE...]     the program, tests/e2e/probe of the same build; default: all cases
#
# Exit code: 0 all passed, 1 some failed, 77 skipped, with the reason as the last line. A few minutes: Slurm looks at time limits
# twice a minute.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
UMED=$(realpath "$1") || exit 64
probe=$(realpath "$2") || exit 64
shift 2
export UMED
scripts=$root/jobs/slurm
work=$(mktemp -d "${TMPDIR:-/tmp}/umed-slurm.XXXXXX") || exit 1
cluster=$work/cluster
mkdir "$cluster"
# shellcheck source=tests/slurm/cluster.sh
. "$root/tests/slurm/cluster.sh"
trap 'cluster_down; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# The virtual nodes share a host: Open MPI must not use shared memory between them, and has to accept root.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo
unset SBATCH_ACCOUNT SBATCH_PARTITION OMP_NUM_THREADS

# ---- what the cases use ----

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

failures=0
current=
complain() {
    failures=$((failures + 1))
    printf 'FAILED %s: %s\n' "$current" "$*"
    tail -n 25 "$work/$current"/*.log 2>/dev/null | sed 's/^/    /'
}
same() { [ "$1" = "$2" ] || complain "$3: '$1', expected '$2'"; }
at_least() { [ "$1" -ge "$2" ] || complain "$3: $1, expected at least $2"; }
holds() { grep -qF -- "$2" "$1" || complain "no \"$2\" in $1"; }
lacks() { ! grep -qF -- "$2" "$1" || complain "\"$2\" in $1"; }

# submit SBATCH-OPTIONS SCRIPT ARGUMENTS: sets id.
submit() { id=$(sbatch --parsable "$@") || complain "sbatch refused: $*"; }

field() { scontrol -o show job "$1" 2>/dev/null | grep -oE "(^| )$2=[^ ]*" | cut -d= -f2; }
states() { field "$1" JobState | sort | uniq -c | tr -s ' ' | sed 's/^ //' | paste -sd' '; }

# ends JOB SECONDS STATES: waits for the end of all its tasks, which are then, say, "4 COMPLETED".
ends() {
    local limit=$((SECONDS + $2))
    while squeue -h -j "$1" -t PENDING,RUNNING,SUSPENDED,COMPLETING -o %i 2>/dev/null | grep -q .; do
        if [ $SECONDS -ge $limit ]; then
            complain "job $1 has not ended after $2 s: $(states "$1")"
            scancel "$1"
            return
        fi
        sleep 0.3
    done
    same "$(states "$1")" "$3" "states of job $1"
}

# until_true SECONDS COMMAND...
until_true() {
    local limit=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $limit ] || { complain "waited in vain for: $*"; return 1; }
        sleep 0.05
    done
}
logged() { grep -qs -- "$2" "$1"; }

# rank_of JOB RANK: its process.
rank_of() {
    local p name
    for p in /proc/[0-9]*; do
        name=
        read -r name 2>/dev/null <"$p/comm"
        [ "$name" != umed ] || tr '\0' '\n' 2>/dev/null <"$p/environ" | grep -cxE "SLURM_JOB_ID=$1|SLURM_PROCID=$2" | grep -qx 2 && echo "${p#/proc/}"
    done
}
end_rank() {
    local pid
    pid=$(rank_of "$1" "$2")
    kill -KILL "${pid:-none}" || complain "no rank $2 of job $1 to kill"
}

# A sweep of networks of width 2 on 32x32 images: sweep DATA CYCLES EPOCHS SEEDS [PROTECTORS].
sweep() {
    cat <<CFG
model: { base_width = 2; };
umed: { batch = 8; gen: { base_width = 2; }; schedule: { cycles = $2; }; };
exploiter: { epochs = $3; batch = 8; eval_every = 1; adam_lr = 1e-3; };
run: { checkpoint_s = 0; };
grid: { datasets = ( { name = "tiny"; path = "$1"; } );
  blocks = ( { protectors = [${5:-\"none\", \"umed\"}]; exploiters = ["unet"]; defenses = ["none"]; } ); seeds = [$4]; };
CFG
}

# science FOLDER: "KEY HASH" of every cell.
science() {
    local f
    for f in "$1"/cells/*/result.h5; do
        echo "$(basename "$(dirname "$f")") $("$probe" attr "$f" science_sha256)"
    done
}
# undisturbed FOLDER CONFIG: all cells are there, those of the run outside Slurm with the same bits, and nothing else is left.
undisturbed() {
    local known
    known=$(grep -Ff <(ls "$1/cells") "$work/once.txt")
    same "$("$UMED" grid "$2" -o "$1" --status -q 2>&1 | grep -vE '^done [1-9]' | paste -sd' ')" "running 0 failed 0 open 0" "status of $1"
    same "$(science "$1" | grep -Ff <(cut -d' ' -f1 "$work/once.txt"))" "$known" "results of $1"
    same "$(find "$1" -name '*ckpt*' -o -name '*lease*' -o -name '*.part')" "" "left behind in $1"
}

# A sweep of so many seconds of computing, or more: over more seeds.
long_sweep() {
    sweep ../data.h5 2 4 "$(seq -s, "$(awk -v want="$1" -v one="$once_s" 'BEGIN { print int(want / one) + 2 }')")"
}

one=(--ntasks=1 --cpus-per-task=1 --mem-per-cpu=500)

# ---- the cases ----

case_grid() {
    submit "${one[@]}" "$scripts/grid.sbatch" ../g.cfg -o out --log-level info
    ends "$id" 120 "1 COMPLETED"
    undisturbed out ../g.cfg
    holds "umed-grid-$id.log" "1 ranks x 1 cores"
    submit "${one[@]}" "$scripts/grid.sbatch" ../g.cfg -o out
    ends "$id" 60 "1 COMPLETED"
    lacks "umed-grid-$id.log" "start  "
}

case_array() {
    submit --array=1-4 "${one[@]}" "$scripts/grid-array.sbatch" ../g.cfg -o out
    ends "$id" 180 "4 COMPLETED"
    undisturbed out ../g.cfg
    same "$(cat umed-grid-"${id}"_*.log | grep -c 'start  ')" "$tasks" "tasks done in all"
}

# One task of an array gets the notice: it requeues itself alone.
case_array_notice() {
    submit --array=1-2 "${one[@]}" "$scripts/grid-array.sbatch" ../slow.cfg -o out
    until_true 60 logged "umed-grid-${id}_2.log" 'start  '
    scancel --batch --signal=USR1 "${id}_2"
    ends "$id" 120 "2 COMPLETED"
    undisturbed out ../slow.cfg
    holds "umed-grid-${id}_2.log" "start 1: requeued: stopped early"
    holds "umed-grid-${id}_2.log" "start 2: ends with exit code 0"
    lacks "umed-grid-${id}_1.log" "requeued"
}

# The real notice before the real time limit. The sweep is long enough not to be done by then, and short enough for two more starts.
case_time_limit() {
    long_sweep 50 >long.cfg
    submit --time=1 --signal=B:USR1@50 "${one[@]}" "$scripts/grid.sbatch" long.cfg -o out
    ends "$id" 900 "1 COMPLETED"
    at_least "$(field "$id" Restarts)" 1 "requeues"
    holds "umed-grid-$id.log" "requeued: stopped early"
    lacks "umed-grid-$id.log" "DUE TO TIME LIMIT"
    undisturbed out long.cfg
}

case_preempted() {
    long_sweep 12 >long.cfg
    submit -p low --signal=B:USR1@60 --exclusive "${one[@]}" "$scripts/grid.sbatch" long.cfg -o out
    local low=$id
    until_true 60 logged "umed-grid-$low.log" 'start  '
    submit -J urgent --nodes="$nodes" --exclusive -o urgent.log --wrap 'echo here'
    ends "$id" 60 "1 COMPLETED"
    ends "$low" 120 "1 COMPLETED"
    at_least "$(field "$low" Restarts)" 1 "requeues"
    holds "umed-grid-$low.log" "start 2: "
    undisturbed out long.cfg
}

# A rank is killed after something was saved: started again at once, in the same allocation.
case_killed() {
    submit "${one[@]}" "$scripts/grid.sbatch" ../slow.cfg -o out
    until_true 60 logged "umed-grid-$id.log" 'start  protect' # one cell is done by then
    end_rank "$id" 0
    ends "$id" 120 "1 COMPLETED"
    same "$(field "$id" Restarts)" 0 "requeues"
    holds "umed-grid-$id.log" "a rank died (exit code 137); start again, 1 of 5"
    undisturbed out ../slow.cfg
}

# Killed before anything was saved: requeued, perhaps to another node, where the claim of the dead must not be waited for.
case_killed_early() {
    sweep ../data.h5 8 4 1 '"umed"' | sed 's/checkpoint_s = 0/checkpoint_s = 300/' >g.cfg
    submit "${one[@]}" "$scripts/grid.sbatch" g.cfg -o out
    until_true 60 logged "umed-grid-$id.log" 'start  '
    end_rank "$id" 0
    until_true 30 logged "umed-grid-$id.log" 'before anything was saved'
    sed -i 's/^host=.*/host=another/' out/protected/*lease.1
    ends "$id" 120 "1 COMPLETED"
    same "$(field "$id" Restarts)" 1 "requeues"
    undisturbed out g.cfg
}

case_failing_cell() {
    submit "${one[@]}" "$scripts/grid.sbatch" ../mixed.cfg -o out
    ends "$id" 120 "1 FAILED"
    same "$(field "$id" ExitCode)" 3:0 "exit code"
    holds "umed-grid-$id.log" "2 of 4 cells failed"
    same "$(science out)" "$(grep -Ff <(ls out/cells) "$work/once.txt")" "results of the cells that work"
    same "$(science out | wc -l)" 2 "cells that work"
}

case_cancelled() {
    submit "${one[@]}" "$scripts/grid.sbatch" ../slow.cfg -o out
    until_true 60 logged "umed-grid-$id.log" 'start  '
    scancel "$id"
    ends "$id" 60 "1 CANCELLED"
    sleep 7 # a revived job would wait for this long
    same "$(states "$id")" "1 CANCELLED" "after the wait"
}

case_refused() {
    submit "${one[@]}" "$scripts/grid.sbatch" missing.cfg -o out
    ends "$id" 60 "1 FAILED"
    same "$(field "$id" ExitCode)" 64:0 "exit code"
    submit --export=ALL,UMED_REQUEUES=0 "${one[@]}" "$scripts/grid.sbatch" ../slow.cfg -o out --limit-s 0.1
    ends "$id" 60 "1 FAILED"
    same "$(field "$id" ExitCode)" 75:0 "exit code"
    holds "umed-grid-$id.log" "not requeued: UMED_REQUEUES=0 is reached"
}

case_protect() {
    submit "${one[@]}" "$scripts/protect.sbatch" -c ../p.cfg --data ../data.h5 -o released.h5
    until_true 60 compgen -G 'released.private/*ckpt*' >/dev/null
    end_rank "$id" 0
    until_true 60 logged "umed-protect-$id.log" 'start again, 1 of 5'
    until_true 60 rank_of "$id" 0
    scancel --batch --signal=USR1 "$id"
    ends "$id" 120 "1 COMPLETED"
    same "$(field "$id" Restarts)" 1 "requeues"
    same "$("$probe" diff released.h5 ../released.h5)" "$("$probe" diff ../released.h5 ../released.h5)" "released images"
    same "$("$UMED" check released.h5 2>&1 | grep -c BAD)" 0 "check"
}

case_bench() {
    if "$UMED" bench op 2>&1 | grep -q "not in this version"; then
        say "skipped bench: \`umed bench\` is not in this version"
        return
    fi
    submit "$scripts/bench.sbatch" op 2,16,4,4 --n 1
    ends "$id" 180 "1 COMPLETED"
    holds "umed-bench-$id.log" "ends with exit code 0"
}

# ---- order ----

reason=$(cluster_install) || { echo "skipped: $reason"; exit 77; }
nodes=3
export SLURM_CONF=$cluster/slurm.conf
reason=$(cluster_up $nodes 4) || { echo "skipped: $reason"; exit 77; }
say "Slurm $(sinfo --version | cut -d' ' -f2) on $nodes virtual nodes"
srun --mpi=list 2>&1 | grep -q pmix || { echo "skipped: this Slurm has no PMIx plugin"; exit 77; }

cd "$work" || exit 1
"$UMED" synth --n 24 --size 32 -q -o data.h5 || exit 1
sweep data.h5 2 4 1 >g.cfg
sweep data.h5 8 4 1 >slow.cfg # long enough to be caught at its work
tasks=3
export OMP_NUM_THREADS=1 TIMEFORMAT=%U
once_s=$({ time "$UMED" grid g.cfg -o once -q >&2; } 2>&1) || { echo "$once_s"; exit 1; }
"$UMED" grid slow.cfg -o once -q || exit 1
science once >once.txt
# A dataset too small for the network, and what protect.sbatch should write.
"$UMED" export data.h5 -q -o png && "$UMED" import png --size 8 -q -o small.h5 || exit 1
sed 's/datasets = (/datasets = ( { name = "small"; path = "small.h5"; },/' g.cfg >mixed.cfg
sed '/^grid/,$d' slow.cfg >p.cfg
"$UMED" protect -c p.cfg --data data.h5 -q -o released.h5 >/dev/null || exit 1
unset OMP_NUM_THREADS
say "the sweep is $once_s s of computing"

cases=("$@")
[ $# -gt 0 ] || mapfile -t cases < <(declare -F | sed -n 's/^declare -f case_//p')
for current in "${cases[@]}"; do
    before=$failures
    mkdir -p "$work/$current" && cd "$work/$current" || exit 1
    "case_$current"
    [ "$failures" -gt "$before" ] || say "ok      $current"
    scancel -u "$(id -un)" 2>/dev/null
    cd "$work" || exit 1
done
[ $failures -eq 0 ] || { echo "$failures checks failed"; exit 1; }
say "all passed"
