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
reason=
skip() { reason=$*; }
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
runs() { [ "$(squeue -h -j "$1" -o %T 2>/dev/null)" = RUNNING ]; }
logged() { grep -qs -- "$2" "$1"; }

# rank_of JOB RANK: its process, by the environment that srun gave it. umed starts itself once more through /proc/self/exe, after
# which the kernel calls it exe.
rank_of() {
    local p name
    for p in /proc/[0-9]*; do
        name=
        read -r name 2>/dev/null <"$p/comm"
        if [[ $name =~ ^(umed|exe)$ ]] &&
            [ "$(tr '\0' '\n' 2>/dev/null <"$p/environ" | grep -cxE "SLURM_JOB_ID=$1|SLURM_PROCID=$2")" = 2 ]; then
            echo "${p#/proc/}"
        fi
    done
}
has_rank() { [[ $(rank_of "$1" "$2") =~ ^[0-9]+$ ]]; }

# Kills one rank, and nothing else when there is no or more than one such process.
end_rank() {
    local pid
    pid=$(rank_of "$1" "$2")
    if ! [[ $pid =~ ^[0-9]+$ ]] || ! kill -KILL "$pid"; then
        complain "no rank $2 of job $1 to kill"
    fi
}

# hold OUT: somebody on another machine seems to be at work on the protected dataset of the sweep, so that a run on this folder does
# its other cell, and then waits, however fast this machine is; until let_go.
hold() {
    mkdir -p "$1/protected"
    printf '%s\n' host=elsewhere boot=1 space=1 pid=1 start=1 job=other cluster=other since= end=1 >"$1/protected/$item.lease.1"
}
let_go() { rm "$1/protected/$item.lease.1"; }

# science FOLDER: "KEY HASH" of every cell.
science() {
    local f
    for f in "$1"/cells/*/result.h5; do
        echo "$(basename "$(dirname "$f")") $("$probe" attr "$f" science_sha256)"
    done
}
# All cells are there, with the bits of the run outside Slurm, and nothing else is left.
undisturbed() {
    same "$(science "$1")" "$(cat "$work/once.txt")" "results of $1"
    same "$(find "$1" -name '*ckpt*' -o -name '*lease*' -o -name '*.part')" "" "left behind in $1"
}

one=(--ntasks=1 --cpus-per-task=1 --mem-per-cpu=500)

# ---- the cases ----

case_grid() {
    submit "${one[@]}" "$scripts/grid.sbatch" ../g.cfg -o out --log-level info
    ends "$id" 300 "1 COMPLETED"
    undisturbed out
    holds "umed-grid-$id.log" "1 ranks x 1 cores"
    submit "${one[@]}" "$scripts/grid.sbatch" ../g.cfg -o out
    ends "$id" 200 "1 COMPLETED"
    lacks "umed-grid-$id.log" "start  "
}

case_array() {
    submit --array=1-4 "${one[@]}" "$scripts/grid-array.sbatch" ../g.cfg -o out
    ends "$id" 300 "4 COMPLETED"
    undisturbed out
    same "$(cat umed-grid-"${id}"_*.log | grep -c 'start  ')" "$tasks" "tasks done in all"
}

# One task of an array gets the notice: it requeues itself alone.
case_array_notice() {
    hold out
    submit --array=1-2 "${one[@]}" "$scripts/grid-array.sbatch" ../g.cfg -o out
    until_true 200 logged "umed-grid-${id}_2.log" 'waiting for'
    scancel --batch --signal=USR1 "${id}_2"
    until_true 200 logged "umed-grid-${id}_2.log" 'start 1: requeued: stopped early'
    let_go out
    ends "$id" 300 "2 COMPLETED"
    undisturbed out
    holds "umed-grid-${id}_2.log" "start 2: ends with exit code 0"
    lacks "umed-grid-${id}_1.log" "requeued"
}

# The real notice before the real time limit.
case_time_limit() {
    hold out
    submit --time=1 --signal=B:USR1@50 "${one[@]}" "$scripts/grid.sbatch" ../g.cfg -o out
    until_true 120 logged "umed-grid-$id.log" 'start 1: requeued: stopped early'
    let_go out
    ends "$id" 900 "1 COMPLETED"
    at_least "$(field "$id" Restarts)" 1 "requeues"
    lacks "umed-grid-$id.log" "DUE TO TIME LIMIT"
    undisturbed out
}

case_preempted() {
    hold out
    submit -p low --signal=B:USR1@60 --exclusive "${one[@]}" "$scripts/grid.sbatch" ../g.cfg -o out
    local low=$id
    until_true 200 logged "umed-grid-$low.log" 'waiting for'
    submit -J urgent --nodes="$nodes" --exclusive -o urgent.log --wrap 'echo here'
    ends "$id" 300 "1 COMPLETED"
    let_go out
    ends "$low" 300 "1 COMPLETED"
    at_least "$(field "$low" Restarts)" 1 "requeues"
    holds "umed-grid-$low.log" "start 2: "
    undisturbed out
}

# A rank is killed after a cell was finished: started again at once, in the same allocation.
case_killed() {
    hold out
    submit "${one[@]}" "$scripts/grid.sbatch" ../g.cfg -o out
    until_true 200 logged "umed-grid-$id.log" 'waiting for'
    end_rank "$id" 0
    until_true 200 logged "umed-grid-$id.log" 'a rank died (exit code 137); start again, 1 of 5'
    let_go out
    ends "$id" 300 "1 COMPLETED"
    same "$(field "$id" Restarts)" 0 "requeues"
    undisturbed out
}

# Killed before anything was saved: requeued, perhaps to another node, where the claim of its dead self is not waited for.
case_killed_early() {
    sed 's/"none", //; s,"data.h5","../data.h5",' ../g.cfg >g.cfg
    hold out
    submit "${one[@]}" "$scripts/grid.sbatch" g.cfg -o out
    until_true 200 logged "umed-grid-$id.log" 'waiting for'
    sed -i "s/^job=.*/job=$id/" "out/protected/$item.lease.1"
    end_rank "$id" 0
    ends "$id" 300 "1 COMPLETED"
    holds "umed-grid-$id.log" 'requeued: a rank died (exit code 137) before anything was saved'
    same "$(field "$id" Restarts)" 1 "requeues"
    same "$(science out)" "$(grep -Ff <(ls out/cells) ../once.txt)" "results"
}

# A claim of a job of another machine holds while that job runs, and no longer; its age would be waited for for ten minutes.
case_ended_job() {
    submit "${one[@]}" -o owner.log --wrap 'sleep 300'
    local owner=$id
    until_true 100 runs "$owner"
    hold out
    sed -i "s/^job=.*/job=$owner/; s/^cluster=.*/cluster=umedtest/" "out/protected/$item.lease.1"
    submit "${one[@]}" "$scripts/grid.sbatch" ../g.cfg -o out --log-level info
    until_true 200 logged "umed-grid-$id.log" 'waiting for'
    scancel "$owner"
    ends "$id" 120 "1 COMPLETED"
    holds "umed-grid-$id.log" "job $owner, which held a claim, does not run any more"
    undisturbed out
}

# Several ranks on two nodes: one is killed, all of them are started again.
case_ranks() {
    hold out
    submit --nodes=2 --ntasks-per-node=2 --cpus-per-task=1 --mem-per-cpu=500 "$scripts/grid.sbatch" ../g.cfg -o out
    until_true 200 logged "umed-grid-$id.log" 'done   '
    end_rank "$id" 3
    until_true 120 logged "umed-grid-$id.log" 'a rank died'
    let_go out
    ends "$id" 300 "1 COMPLETED"
    undisturbed out
}

# A protected dataset that was damaged: its cell cannot be computed, the other one can.
case_failing_cell() {
    mkdir -p out/protected
    cp "../once/protected/$item.result.h5" out/protected
    head -c 3000 "../once/protected/$item.h5" >"out/protected/$item.h5"
    submit "${one[@]}" "$scripts/grid.sbatch" ../g.cfg -o out
    ends "$id" 300 "1 FAILED"
    same "$(field "$id" ExitCode)" 3:0 "exit code"
    holds "umed-grid-$id.log" "1 of 2 cells failed"
    rm out/protected/*
    submit "${one[@]}" "$scripts/grid.sbatch" ../g.cfg -o out
    ends "$id" 300 "1 COMPLETED"
    undisturbed out
}

# From an installation: the scripts find its program, and its module tells where the scripts are.
case_installed() {
    local scripts=$PWD/prefix/share/umed/jobs/slurm
    cmake --install "$(dirname "$(dirname "$UMED")")" --prefix "$PWD/prefix" >install.log || complain "cmake --install"
    [ -f prefix/share/umed/modulefiles/umed/"$("$UMED" --version | cut -d' ' -f2 | grep -oE '^[0-9.]+')" ] || complain "no module file"
    submit --export=ALL,UMED= "${one[@]}" "$scripts/grid.sbatch" ../g.cfg -o out
    ends "$id" 300 "1 COMPLETED"
    holds "umed-grid-$id.log" "start 1: $PWD/prefix/bin/umed grid"
    undisturbed out
}

case_cancelled() {
    hold out
    submit "${one[@]}" "$scripts/grid.sbatch" ../g.cfg -o out
    until_true 200 logged "umed-grid-$id.log" 'waiting for'
    scancel "$id"
    ends "$id" 200 "1 CANCELLED"
    sleep 7 # a revived job would wait for this long
    same "$(states "$id")" "1 CANCELLED" "after the wait"
}

case_refused() {
    submit "${one[@]}" "$scripts/grid.sbatch" missing.cfg -o out
    ends "$id" 200 "1 FAILED"
    same "$(field "$id" ExitCode)" 74:0 "exit code"
    submit --export=ALL,UMED_REQUEUES=0 "${one[@]}" "$scripts/grid.sbatch" ../g.cfg -o out --limit-s 0.1
    ends "$id" 200 "1 FAILED"
    same "$(field "$id" ExitCode)" 75:0 "exit code"
    holds "umed-grid-$id.log" "not requeued: UMED_REQUEUES=0 is reached"
}

saved() { find "$1" -name '*ckpt*.h5' 2>/dev/null | grep -q .; }
case_protect() {
    submit "${one[@]}" "$scripts/protect.sbatch" -c ../p.cfg --data ../data.h5 -o released.h5
    until_true 200 saved released.private
    end_rank "$id" 0
    until_true 200 logged "umed-protect-$id.log" 'start again, 1 of 5'
    until_true 200 has_rank "$id" 0
    scancel --batch --signal=USR1 "$id"
    ends "$id" 300 "1 COMPLETED"
    same "$(field "$id" Restarts)" 1 "requeues"
    same "$("$probe" diff released.h5 ../released.h5)" "$("$probe" diff ../released.h5 ../released.h5)" "released images"
    same "$("$UMED" check released.h5 2>&1 | grep -c BAD)" 0 "check"
}

# The array protects; one of its tasks gets the notice, goes back into the queue alone, and the release is that of one process.
case_archive() {
    "$UMED" protect -c ../p.cfg --data ../data.h5 --state state.h5 --log-level error -o fitted.h5 >/dev/null || complain "no state"
    "$UMED" synth --n 60 --size 32 --seed 4 --shards 6 -q -o clean || complain "no archive"
    "$UMED" archive protect clean -c ../p.cfg --state state.h5 --log-level error -o once >/dev/null || complain "no release to compare with"
    mkdir -p out.private/items # somebody elsewhere seems to be at work on one shard
    printf '%s\n' host=elsewhere boot=1 space=1 pid=1 start=1 job=other cluster=other since= end=1 >out.private/items/shard-00004-of-00006.lease.1
    submit --array=1-2 "${one[@]}" "$scripts/archive.sbatch" protect clean -c ../p.cfg --state state.h5 -o out
    until_true 200 logged "umed-archive-${id}_2.log" 'waiting for'
    scancel --batch --signal=USR1 "${id}_2"
    until_true 200 logged "umed-archive-${id}_2.log" 'start 1: requeued: stopped early'
    rm out.private/items/shard-00004-of-00006.lease.1
    ends "$id" 300 "2 COMPLETED"
    holds "umed-archive-${id}_2.log" "start 2: ends with exit code 0"
    lacks "umed-archive-${id}_1.log" "requeued"
    same "$(cd out && cksum ./*)" "$(cd once && cksum ./*)" "released files"
    same "$("$UMED" archive verify out -q 2>&1 | grep -c '^good')" 7 "verified files"
    same "$(find out out.private -name '*lease*' -o -name '*.part')" "" "left behind"
}

# A network and marks against it, each with a rank that is killed; marking also gets the notice and goes back into the queue. The bytes
# are those of one process.
case_medlocker() {
    local two=(--ntasks=2 --cpus-per-task=1 --mem-per-cpu=500) log settings=(--set model.base_width=4 --set run.checkpoint_s=0)
    "$UMED" synth --scene retina --n 60 --size 32 -q -o r.h5 || complain "no retinas"
    "$UMED" medlocker key -o key || complain "no key"
    settings+=(--set classifier.epochs=200 --set classifier.lr=0.02)
    "$UMED" medlocker train --data r.h5 "${settings[@]}" --log-level error -o once-target.h5 >trained.txt || complain "no network to compare with"
    submit "${two[@]}" "$scripts/medlocker.sbatch" train --data r.h5 "${settings[@]}" -o target.h5
    log=umed-medlocker-$id.log
    until_true 200 test -e target.h5.ckpt.h5
    end_rank "$id" 1
    until_true 200 logged "$log" 'start again, 1 of 5'
    ends "$id" 300 "1 COMPLETED"
    same "$(grep -oE 'weights [0-9a-f]+' "$log" | sort -u)" "$(grep -oE 'weights [0-9a-f]+' trained.txt)" "weights"

    settings+=(--key key --set medlocker.time=1700000000)
    "$UMED" medlocker mark --data r.h5 "${settings[@]}" --log-level error -o once.h5 target.h5 >/dev/null || complain "no marks to compare with"
    submit "${two[@]}" "$scripts/medlocker.sbatch" mark --data r.h5 "${settings[@]}" -o marked.h5 target.h5
    log=umed-medlocker-$id.log
    until_true 200 saved marked.private
    end_rank "$id" 0
    until_true 200 logged "$log" 'start again, 1 of 5'
    until_true 200 has_rank "$id" 0
    scancel --batch --signal=USR1 "$id"
    ends "$id" 300 "1 COMPLETED"
    same "$(field "$id" Restarts)" 1 "requeues"
    same "$(cksum <marked.h5)" "$(cksum <once.h5)" "marked images"
    same "$(cksum <marked.private/certificate.h5)" "$(cksum <once.private/certificate.h5)" "certificates"
    same "$(find marked.private -name '*ckpt*' -o -name '*.part')" "" "left behind"
}

case_bench() {
    if grep -q "not in this version" <("$UMED" bench op 2>&1); then
        skip "\`umed bench\` is not in this version"
        return
    fi
    submit "$scripts/bench.sbatch" op 2,16,4,4 --n 1
    ends "$id" 300 "1 COMPLETED"
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
# Networks of width 2 on 32x32 images: a second of computing.
cat >g.cfg <<'CFG'
model: { base_width = 2; };
umed: { batch = 8; gen: { base_width = 2; }; schedule: { cycles = 1; }; };
exploiter: { epochs = 2; batch = 8; eval_every = 1; adam_lr = 1e-3; };
grid: { datasets = ( { name = "tiny"; path = "data.h5"; } );
  blocks = ( { protectors = ["none", "umed"]; exploiters = ["unet"]; defenses = ["none"]; } ); seeds = [1]; };
CFG
tasks=3
export OMP_NUM_THREADS=1
"$UMED" grid g.cfg -o once --log-level error || exit 1
science once >once.txt
item=$("$UMED" grid g.cfg --dry-run --format csv -q | awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
    $at["protector"] == "umed" { print $at["protect_key"] }')
# What protect.sbatch should write.
sed '/^grid/,$d; s/cycles = 1/cycles = 6/' g.cfg >p.cfg
echo 'run: { checkpoint_s = 0; };' >>p.cfg
"$UMED" protect -c p.cfg --data data.h5 --log-level error -o released.h5 >/dev/null || exit 1
unset OMP_NUM_THREADS
say "what the jobs should give, computed outside Slurm"

cases=("$@")
[ $# -gt 0 ] || mapfile -t cases < <(declare -F | sed -n 's/^declare -f case_//p')
for current in "${cases[@]}"; do
    before=$failures
    mkdir -p "$work/$current" && cd "$work/$current" || exit 1
    reason=
    "case_$current"
    if [ -n "$reason" ]; then
        say "skipped $current: $reason"
    elif [ "$failures" = "$before" ]; then
        say "ok      $current"
    fi
    scancel -u "$(id -un)" 2>/dev/null
    cd "$work" || exit 1
done
[ $failures -eq 0 ] || { echo "$failures checks failed"; exit 1; }
say "all passed"
