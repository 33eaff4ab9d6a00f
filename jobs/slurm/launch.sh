# shellcheck shell=bash
# Sourced by the job scripts of this folder, inside the job: the site's settings, and umed under srun until it is done.
#
#   exit code of umed                what happens
#   0, 3, 64, 65, 70, 74             the job ends with it (3: finished, but some cells failed)
#   75                               stopped early with everything saved: the job is requeued, at most UMED_REQUEUES times (20)
#   76, or above 128                 a rank or its node died: umed is started again in the same allocation while results or
#                                    checkpoints are written between deaths, at most UMED_RESTARTS times (5), else requeued
#
# USR1 (the notice before the time limit or preemption) and TERM are passed on to all ranks, which save and end with 75. A job that
# was cancelled stays cancelled.
#
#   UMED              the program (default: of the build or installation that this folder belongs to, else from PATH)
#   UMED_SITE         the site's settings (default site.env beside this file)

: "${SLURM_JOB_ID:?this is a job: submit it with sbatch}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=jobs/slurm/site.env
. "${UMED_SITE:-$here/site.env}" || exit 64
: "${UMED_MPI_PLUGIN:=pmix}" "${UMED_SRUN:=}" "${UMED_RESTARTS:=5}" "${UMED_REQUEUES:=20}"

# How Slurm's commands call this job. The id alone, of the last task of an array, means the whole array.
job=$SLURM_JOB_ID
[ -z "${SLURM_ARRAY_JOB_ID:-}" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID

# There is one writer per file, and file systems without flock make HDF5 fail.
export HDF5_USE_FILE_LOCKING=FALSE
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}

say() { printf '%s job %s start %d: %s\n' "$(date -u +%FT%TZ)" "$job" "$((${SLURM_RESTART_COUNT:-0} + 1))" "$*"; }

find_umed() {
    local place
    for place in "$here/../../build/bin/umed" "$here/../../../../bin/umed"; do
        [ ! -x "$place" ] || { realpath "$place"; return; }
    done
    command -v umed || { say "no umed: set UMED, or load its module in site.env" >&2; return 1; }
}
[ -n "${UMED:-}" ] || UMED=$(find_umed) || exit 64

# option_of LONG SHORT ARGUMENT...: the value of an option of umed in these two spellings; the last one wins.
option_of() {
    local long=$1 short=$2 value=
    shift 2
    while [ $# -gt 0 ]; do
        case $1 in
        "$long" | "$short") value=${2:-} ;;
        "$long"=*) value=${1#*=} ;;
        "$short"?*) value=${1#"$short"} ;;
        esac
        shift
    done
    printf '%s' "$value"
}

# The folders where results, checkpoints and claims of this job lie; they need not exist yet. Set by the job scripts.
folders=()

# Changes whenever a result or checkpoint is written.
progress() {
    [ ${#folders[@]} -gt 0 ] || return 0
    find "${folders[@]}" \( -name '*result.h5' -o -name '*ckpt*.h5' -o -name 'shard-*.json' -o -name 'shard-*.h5' \) -printf '%p %T@\n' 2>/dev/null | sort | cksum
}

# Claims that this job left behind, perhaps on another node: none of its ranks runs now, so nobody has to wait for them to expire.
drop_own_claims() {
    [ ${#folders[@]} -gt 0 ] || return 0
    find "${folders[@]}" -name '*lease.[0-9]*' -exec grep -qx "job=$job" {} \; -delete 2>/dev/null
}

# USR1 and TERM, also those that come before the step listens to them.
step=
stopping=0
on_stop() {
    stopping=1
    [ -z "$step" ] || kill -USR1 "$step" 2>/dev/null
}
trap on_stop USR1 TERM

# run_step COMMAND...: one srun over all tasks of the job; rc: its exit code. A rank that ends with an error leaves the others to
# their own end (--kill-on-bad-exit=0), so that all of them can save; one that is killed takes the step along.
run_step() {
    local label=()
    [ "${SLURM_NTASKS:-1}" -le 1 ] || label=(--label)
    # shellcheck disable=SC2086 # UMED_SRUN is a list of words
    srun --mpi="$UMED_MPI_PLUGIN" --ntasks="${SLURM_NTASKS:-1}" --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=0 \
        --unbuffered "${label[@]}" $UMED_SRUN "$@" &
    step=$!
    [ $stopping = 0 ] || on_stop
    wait "$step"
    rc=$?
    while [ "$rc" -gt 128 ] && kill -0 "$step" 2>/dev/null; do # a signal interrupted the wait
        wait "$step"
        rc=$?
    done
    wait "$step" 2>/dev/null
    local last=$?
    [ $last = 127 ] || rc=$last
    step=
}

# Puts the job back into the queue and does not return; returns when it may not be. Slurm would revive a cancelled job as well, and
# requeues a preempted one by itself.
requeue() {
    local about
    if [ "${SLURM_RESTART_COUNT:-0}" -ge "$UMED_REQUEUES" ]; then
        say "not requeued: UMED_REQUEUES=$UMED_REQUEUES is reached; the same command goes on"
        return
    fi
    about=$(scontrol -o show job "$job")
    case $about in
    *JobState=RUNNING* | *Reason=TimeLimit*) ;;
    *)
        say "not requeued: cancelled or preempted; the same command goes on"
        return
        ;;
    esac
    say "requeued: $1"
    trap - USR1 TERM
    scontrol requeue "$job" && sleep 600 # until Slurm ends this script; an end of its own would be the job's
}

# umed_until_done COMMAND [ARGUMENT...]: runs `umed COMMAND ...` by the table above and ends the job.
umed_until_done() {
    local restarts=0 before rc
    say "$UMED $*; ${SLURM_NTASKS:-1} ranks x ${SLURM_CPUS_PER_TASK:-1} cores on ${SLURM_JOB_NODELIST:-}"
    while :; do
        drop_own_claims
        before=$(progress)
        run_step "$UMED" "$@"
        if [ "$rc" != 76 ] && [ "$rc" -le 128 ]; then
            [ "$rc" != 75 ] || requeue "stopped early, everything saved"
        elif [ $stopping = 1 ]; then
            requeue "exit code $rc while stopping"
        elif [ "$(progress)" = "$before" ]; then
            requeue "a rank died (exit code $rc) before anything was saved"
        elif [ $restarts -ge "$UMED_RESTARTS" ]; then
            requeue "a rank died (exit code $rc) after $restarts restarts"
        else
            restarts=$((restarts + 1))
            say "a rank died (exit code $rc); start again, $restarts of $UMED_RESTARTS"
            continue
        fi
        say "ends with exit code $rc"
        exit "$rc"
    done
}
