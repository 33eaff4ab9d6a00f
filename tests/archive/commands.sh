# `umed archive` from outside: packing a tree with broken pictures, ranks, kills at ten random moments, restoring and verifying.
# UMED_SEED picks the moments. For the kills by call the fault library of tests/harden is preloaded.
. "$(dirname "$0")/../harden/common.sh"
seed=${UMED_SEED:-1}
tiny="--set umed.gen.base_width=2 --set model.base_width=2 --set umed.schedule.cycles=1 --set umed.batch=8"

expect 0 "$umed" synth --n 20 --size 32 -q -o fit.h5
expect 0 "$umed" protect --data fit.h5 $tiny --state state.h5 -q -o fit.released.h5

# ---- packing: one in a hundred pictures is broken ----
expect 0 "$umed" synth --n 100 --size 32 --seed 2 -q -o drawn.h5
expect 0 "$umed" export drawn.h5 -o tree -q
before=$(find tree -type f | sort | xargs cksum)
head -c 300 tree/images/phantom-00017.png >cut && mv cut tree/images/phantom-00017.png
expect 3 "$umed" archive pack tree --shards 4 -q -o src
holds err "1 of 100 pictures cannot be read"; holds out "images 99"; holds out "broken 1"
same "$(grep -c . src/broken.jsonl)" 1 "list of broken pictures"
grep -q '"id":"phantom-00017","reason":".*phantom-00017.png' src/broken.jsonl || fail "$(cat src/broken.jsonl)"
expect 3 "$umed" archive pack tree --shards 4 -q -o src # nothing left to do
expect 64 "$umed" archive pack tree --shards 5 -q -o src; holds err "belongs to a job"
expect 0 "$umed" check src
same "$(echo "$before" | wc -l)" 200 "files of the tree"

# ---- one rank ----
protect() { "$umed" archive protect src --state state.h5 $tiny "$@"; }
inputs=$(cksum src/*.h5; stat -c '%n %y' src/*.h5)
expect 0 protect -o once
holds out "images 99"
holds err "memory: at most"; holds err "bound by"
same "$(cksum src/*.h5; stat -c '%n %y' src/*.h5)" "$inputs" "the clean archive"
expect 0 "$umed" archive verify once -q
same "$(grep -c '^good' out)" 5 "verified files"
expect 0 "$umed" archive restore once -q -o back
expect 0 "$umed" check back

# sums DIR: released files and ways back; what the items say but for times and hosts.
sums() {
    (cd "$1" && cksum shard-*.h5 manifest.jsonl)
    (cd "$1.private" && cksum delta-*.h5 job.json && sed -E 's/"seconds":[^,]*,"host":"[^"]*"//; s/,"sha256_line".*//' items/*.json)
    names "$1" && names "$1.private"
}
sums once >once.txt
same "$(names once.private | grep -cvE 'delta|items/shard-[0-9of-]*.json|job.json|manifest')" 0 "left behind"

# ---- kills ----
begun=$(date +%s%N)
expect 0 protect -o timed -q
took=$((($(date +%s%N) - begun) / 1000000))
same "$(sums timed)" "$(cat once.txt)" "a second run"
calls=0
if [ -n "$fault" ]; then
    faulty count counted protect -o counted -q; same $rc 0
    calls=$(cat count)
fi
for trial in $(seq 10); do
    rm -rf killed killed.private
    if [ "$calls" -gt 0 ] && [ $((trial % 2)) = 0 ]; then
        faulty "kill:$(draw "$seed" "$trial" "$calls")" killed protect -o killed -q
    else
        "$umed" archive protect src --state state.h5 $tiny -o killed -q >out 2>err &
        pid=$!
        sleep "$(awk "BEGIN { print $(draw "$seed" "$trial" "$took") / 1000 }")"
        kill -KILL $pid 2>/dev/null
        wait $pid 2>/dev/null
    fi
    for f in killed/shard-*.h5; do # whatever was released can be undone
        [ ! -e "$f" ] || [ -e "killed.private/delta-$(basename "$f" | cut -d- -f2-)" ] || fail "trial $trial: $f without its way back"
    done
    expect 0 timeout 100 "$umed" archive protect src --state state.h5 $tiny -o killed -q
    lacks err "waiting for"
    sums killed >killed.txt
    cmp -s once.txt killed.txt || fail "trial $trial: $(diff once.txt killed.txt)"
done

# stopped in time: everything saved, the same command goes on
expect 75 protect -o stopped -q --limit-s 0.001
expect 0 protect -o stopped -q
same "$(sums stopped)" "$(cat once.txt)" "after a stop"

# ---- ranks ----
if command -v mpirun >/dev/null && ! "$umed" info | grep -q '^mpi *none'; then
    export ASAN_OPTIONS=detect_leaks=0 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
    for np in 2 4; do
        expect 0 mpirun --bind-to none -np $np "$umed" archive protect src --state state.h5 $tiny -q -o ranks$np
        same "$(sums ranks$np)" "$(cat once.txt)" "$np ranks"
    done
    expect 3 mpirun --bind-to none -np 2 "$umed" archive pack tree --shards 4 -q -o src2
    for f in src/shard-*.h5; do
        same "$("$probe" attr "$f" sha256)" "$("$probe" attr "src2/$(basename "$f")" sha256)" "packed by two ranks"
    done
    expect 0 mpirun --bind-to none -np 2 "$umed" archive verify ranks2 -q
    same "$(grep -c '^good' out)" 5 "verified by two ranks"
    # two runs at once share the folders
    "$umed" archive protect src --state state.h5 $tiny -q -o shared >first 2>&1 &
    first=$!
    expect 0 protect -q -o shared
    wait $first || fail "the first of two runs: $(cat first)"
    same "$(sums shared)" "$(cat once.txt)" "two runs at once"
fi

# ---- refusals ----
expect 64 "$umed" archive prtect src;                                     holds err "did you mean 'protect'?"
expect 64 "$umed" archive protect src -o x;                               holds err "--state"
expect 64 "$umed" archive protect src -o x --state state.h5 --protector em; holds err "'em' cannot be applied"
expect 64 "$umed" archive protect src -o src/x --state state.h5 $tiny;    holds err "in each other"
expect 65 "$umed" archive protect src -o x --state state.h5;              holds err "use the settings of the fit"
expect 64 "$umed" archive protect src -o once --state state.h5 $tiny --unmasked copy; holds err "belongs to a job"
[ ! -e x ] || fail "a refused job made its folder"
exit 0
