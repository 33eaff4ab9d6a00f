# Two runs of two groups on one folder: no task is done twice. UMED_LONG=1: a hundred times.
. "$(dirname "$0")/common.sh"

expect 0 "$umed" synth --n 8 --size 16 -q -o data.h5
small_sweep data.h5 '"none", "lsp"' 1 1 | sed 's/seeds = \[1\]/seeds = [1, 2, 3]/' >g.cfg
expect 0 "$umed" grid g.cfg -o alone
everything alone >alone.txt
tasks=$(grep -c . alone.txt)
RANDOM=${SEED:-$$}
times=4
[ "${UMED_LONG:-0}" = 1 ] && times=100
for i in $(seq $times); do
    rm -rf shared
    ranks 2 "$umed" grid g.cfg -o shared >out1 2>err1 &
    pid=$!
    sleep 0.$((RANDOM % 60 + 10))
    ranks 2 "$umed" grid g.cfg -o shared >out2 2>err2
    rc=$?
    wait $pid || fail "the first of two runs failed"
    same $rc 0 "the second of two runs"
    same "$(cat err1 err2 | grep -c 'start ')" "$tasks" "tasks done in round $i"
    same "$(everything shared)" "$(cat alone.txt)" "round $i"
done
exit 0
