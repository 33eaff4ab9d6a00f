# Two runs of two groups on one folder: no task is done twice, whatever the moment at which they meet. Most rounds pause before every
# access to a claim or a result (delay.c). UMED_LONG=1: a hundred times.
. "$(dirname "$0")/common.sh"
delay=$4

expect 0 "$umed" synth --n 8 --size 16 -q -o data.h5
small_sweep data.h5 '"none", "lsp"' 1 1 | sed 's/seeds = \[1\]/seeds = [1, 2, 3]/' >g.cfg
expect 0 "$umed" grid g.cfg -o alone
everything alone >alone.txt
tasks=$(grep -vc utility alone.txt)

# race N: run number N, two ranks; under a sanitizer, whose library wants to be the first, without pauses. mpirun of Open MPI 4 removes
# the folder that all its runs of a user share in TMPDIR, also when another is about to use it: each run has its own.
mkdir tmp1 tmp2
race() {
    local preload=()
    nm -D "$umed" 2>/dev/null | grep -q __asan_init || preload=(-x "LD_PRELOAD=$delay" -x UMED_DELAY_MS=$most)
    TMPDIR=$work/tmp$1 ranks 2 "${preload[@]}" "$umed" grid g.cfg -o shared >out$1 2>err$1
}

# both_end WHAT TASKS: waits for run 1, after run 2 has ended with $rc: all is well, and no task was begun twice.
both_end() {
    wait $pid
    rc1=$?
    cat err1 err2 >err
    same "$rc1 $rc" "0 0" "exit codes of both runs in $1"
    same "$(grep -c 'start ' err)" "$2" "tasks done in $1"
    same "$(everything shared)" "$(cat alone.txt)" "$1"
    find shared -name '*lease*' -o -name '*.part' | grep -q . && fail "something was left behind in $1"
}

RANDOM=${SEED:-$$}
times=4
[ "${UMED_LONG:-0}" = 1 ] && times=100
for i in $(seq $times); do
    rm -rf shared
    most=$((i % 4 * 10)) # ms
    race 1 &
    pid=$!
    sleep 0.$((RANDOM % 60 + 10))
    race 2
    rc=$?
    both_end "round $i" "$tasks"
done

# a claim that is stale is taken by one of them: everything belongs to a job of another machine that nobody heard of for an hour
for i in $(seq $((times / 4))); do
    rm -rf shared
    most=20
    mkdir -p shared/protected
    for f in alone/cells/*; do mkdir -p "shared/cells/$(basename "$f")" && foreign_claim "shared/cells/$(basename "$f")/lease.1"; done
    for f in alone/protected/*.result.h5; do foreign_claim "shared/protected/$(basename "${f%.result.h5}").lease.1"; done
    find shared -name 'lease.1' -o -name '*.lease.1' | xargs touch -d '1 hour ago'
    race 1 &
    pid=$!
    race 2
    rc=$?
    both_end "round $i of stale claims" "$tasks"
done
exit 0
