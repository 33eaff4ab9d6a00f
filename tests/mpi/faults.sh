# What can happen to ranks: signals, a rank that stops, a rank that dies. UMED_LONG=1: twenty deaths instead of four.
. "$(dirname "$0")/common.sh"

expect 0 "$umed" synth --n 20 --size 32 -q -o data.h5
small_sweep data.h5 '"none", "umed"' 2 20 | sed "s/cycles = 1/cycles = 6/" >g.cfg
expect 0 "$umed" grid g.cfg -o alone
everything alone >alone.txt

# begin DIR NP EPOCHS ARGS...: a run in the background, its mpiexec in $pid; returns when so many epochs were done, or it ended.
begin() {
    dir=$1 n=$2 epochs=$3
    shift 3
    : >"$work/err" # what the run before said would count
    "$mpiexec" --bind-to none -np "$n" "$umed" grid g.cfg -o "$dir" --set run.checkpoint_s=0 --set run.progress_s=0 "$@" >"$work/out" \
        2>"$work/err" &
    pid=$!
    while [ "$(grep -c '[0-9]/[0-9]' "$work/err")" -lt "$epochs" ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
}

# ended CODE: waits for it.
ended() {
    wait $pid
    rc=$?
    [ $rc = "$1" ] || fail "exit code $rc, expected $1"
}

# one rank is told to stop: all stop, with everything saved
endless="--set exploiter.epochs=100000 --set umed.schedule.cycles=100000"
for signal in USR1 TERM; do
    # shellcheck disable=SC2086 # a list of words
    begin stopped 4 3 $endless
    kill -$signal "$(child $pid 0)"
    ended 75
    holds err "stopped by"
    find stopped -name '*.lease*' | grep -q . && fail "a claim was left behind"
done
holds err "resumed after"

# the same while all wait for somebody else, between cells and at the end of the sweep, also when the rank that is told belongs to no
# group (2) or only follows (1)
cp -r alone late
utility=$(basename "$(find late -name '*.utility.h5')")
rm "late/protected/$utility"
mkdir -p early/protected
foreign_claim "early/protected/${utility%%.*}.lease.1"
foreign_claim "late/protected/${utility%%.*}.lease_unet.1"
for dir in early late; do
    for rank in 2 1; do
        begin $dir 3 0 --set run.deadline_s=60
        for _ in $(seq 600); do grep -q 'waiting for' err && break; sleep 0.05; done
        holds err "waiting for"
        kill -USR1 "$(child $pid $rank)"
        start=$(date +%s)
        ended 75
        [ $(($(date +%s) - start)) -lt 15 ] || fail "it took $(($(date +%s) - start)) s to stop"
        holds err "stopped by another rank"
    done
done
rm "late/protected/${utility%%.*}.lease_unet.1"
expect 0 ranks 3 "$umed" grid g.cfg -o late
same "$(everything late)" "$(cat alone.txt)" "after stops at the end"

# a time limit, as often as it takes
rc=75 runs=0
while [ $rc = 75 ] && [ $runs -lt 20 ]; do
    ranks 2 "$umed" grid g.cfg -o limited --limit-s "$(awk "BEGIN { print 0.5 * 1.4 ^ $runs }")" >out 2>err
    rc=$?
    runs=$((runs + 1))
done
same $rc 0 "limited runs"
same "$(everything limited)" "$(cat alone.txt)" "$runs limited runs"

# a rank that stops (here rank 1, then rank 0) is named, and the run ends within the deadline
for rank in 1 0; do
    rm -rf hung
    # shellcheck disable=SC2086
    begin hung 2 2 --set run.deadline_s=2 $endless
    victim=$(child $pid $rank)
    [ -n "$victim" ] || fail "there is no rank $rank"
    kill -STOP "$victim"
    start=$(date +%s)
    ended 76
    [ $(($(date +%s) - start)) -lt 20 ] || fail "it took $(($(date +%s) - start)) s to see that rank $rank hangs"
    holds err "rank $rank ("
    holds err "pid $victim)"
    for _ in $(seq 100); do kill -0 "$victim" 2>/dev/null || break; sleep 0.1; done
    kill -0 "$victim" 2>/dev/null && fail "the rank that hung is still there"
done

# a full disk ends all ranks with 74, and what was finished stays; as root only, who may mount
mkdir full
if mount -t tmpfs -o size=150k umed-test full 2>/dev/null; then
    trap 'umount "$work/full"; rm -rf "$work"' EXIT
    expect 74 ranks 4 "$umed" grid g.cfg -o full/o
    holds err "No space left"
    for f in $(find full -name '*result.h5'); do expect 0 "$umed" check "$f"; done
fi

# kill -9 of a random rank at a random moment; the same command goes on, and nothing that was finished is done again
RANDOM=${SEED:-$$}
deaths=4
[ "${UMED_LONG:-0}" = 1 ] && deaths=20
rm -rf killed
for _ in $(seq $deaths); do
    before=$(find killed -name '*result.h5' -printf '%p %T@\n' 2>/dev/null | sort)
    begin killed 4 $((RANDOM % 12 + 1))
    sleep 0.0$((RANDOM % 9))
    kill -KILL "$(child $pid $((RANDOM % 4)))" 2>/dev/null
    wait $pid
    for f in $(echo "$before" | cut -d' ' -f1); do
        grep -qF "$f $(find "$f" -printf '%T@')" <<<"$before" || fail "$f was written again"
    done
    [ "$(find killed -name '*result.h5' | wc -l)" -lt 3 ] || rm -rf killed
done
expect 0 ranks 4 "$umed" grid g.cfg -o killed
same "$(everything killed)" "$(cat alone.txt)" "killed"
find killed -name '*ckpt*' -o -name '*lease*' | grep -q . && fail "something was left behind"
exit 0
