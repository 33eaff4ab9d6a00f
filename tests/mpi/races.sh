# Two runs of two groups on one folder: no task is done twice, whatever the moment at which they meet. Most rounds pause before every
# access to a claim or a result (delay.c). UMED_LONG=1: a hundred times.
. "$(dirname "$0")/common.sh"
delay=$4

expect 0 "$umed" synth --n 8 --size 16 -q -o data.h5
small_sweep data.h5 '"none", "lsp"' 1 1 | sed 's/seeds = \[1\]/seeds = [1, 2, 3]/' >g.cfg
expect 0 "$umed" grid g.cfg -o alone
everything alone >alone.txt
tasks=$(grep -vc utility alone.txt)

# race_ranks: two ranks; under a sanitizer, whose library wants to be the first, without pauses.
race_ranks() {
    if nm -D "$umed" 2>/dev/null | grep -q __asan_init; then
        ranks 2 "$umed" "$@"
    else
        ranks 2 -x "LD_PRELOAD=$delay" -x UMED_DELAY_MS=$most "$umed" "$@"
    fi
}

RANDOM=${SEED:-$$}
times=4
[ "${UMED_LONG:-0}" = 1 ] && times=100
for i in $(seq $times); do
    rm -rf shared
    most=$((i % 4 * 10)) # ms
    race_ranks grid g.cfg -o shared >out1 2>err1 &
    pid=$!
    sleep 0.$((RANDOM % 60 + 10))
    race_ranks grid g.cfg -o shared >out2 2>err2
    rc=$?
    wait $pid || fail "the first of two runs failed"
    same $rc 0 "the second of two runs"
    same "$(cat err1 err2 | grep -c 'start ')" "$tasks" "tasks done in round $i"
    same "$(everything shared)" "$(cat alone.txt)" "round $i"
    find shared -name '*lease*' -o -name '*.part' | grep -q . && fail "something was left behind in round $i"
done

# a claim that is stale is taken by one of them: everything belongs to a job of another machine that nobody heard of for an hour
for i in $(seq $((times / 4))); do
    rm -rf shared
    most=20
    mkdir -p shared/protected
    for f in alone/cells/*; do mkdir -p "shared/cells/$(basename "$f")" && foreign_claim "shared/cells/$(basename "$f")/lease.1"; done
    for f in alone/protected/*.result.h5; do foreign_claim "shared/protected/$(basename "${f%.result.h5}").lease.1"; done
    find shared -name 'lease.1' -o -name '*.lease.1' | xargs touch -d '1 hour ago'
    race_ranks grid g.cfg -o shared >out1 2>err1 &
    pid=$!
    race_ranks grid g.cfg -o shared >out2 2>err2
    rc=$?
    wait $pid || fail "the first of two runs failed"
    same $rc 0 "the second of two runs"
    same "$(cat err1 err2 | grep -c 'start ')" "$tasks" "stale claims taken in round $i"
    same "$(everything shared)" "$(cat alone.txt)" "round $i of stale claims"
done
exit 0
