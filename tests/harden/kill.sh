# kill -9 at random moments of a grid, checkpoints included. The same command finishes it at once, with the bits of a run that nobody
# disturbed, and leaves nothing behind. UMED_LONG=1: 30 moments, otherwise 9. UMED_SEED picks the moments.
. "$(dirname "$0")/common.sh"
seed=${UMED_SEED:-1}
trials=9
[ "$long" = 1 ] && trials=30
echo "kill.sh: $trials moments, UMED_SEED=$seed"

expect 0 "$umed" synth --n 24 --size 32 -q -o data.h5
tiny_sweep data.h5 1 2 >g.cfg
often="--set run.checkpoint_s=0"
begun=$(date +%s%N)
expect 0 "$umed" grid g.cfg -o once $often
took=$((($(date +%s%N) - begun) / 1000000))

# results DIR: everything that must not depend on what happened: science, weights, released bytes, and which files there are.
results() {
    science "$1"
    for f in "$1"/cells/*/result.h5; do "$probe" attr "$f" weights_sha256; done
    for f in "$1"/protected/*.utility.h5; do "$probe" attr "$f" science_sha256; done
    (cd "$1/protected" && for f in *.h5; do case $f in *.result.h5 | *.utility.h5) ;; *) cksum "$f" ;; esac; done)
    names "$1"
}
results once >once.txt
same "$(grep -cE '^\./' once.txt)" 6 "files of a finished sweep" # two results, a release and its result, a network and what it makes of the release

# Calls that change files: with a checkpoint at every step, and with none before the end.
calls=0 calls_rare=0
if [ -n "$fault" ]; then
    faulty count counted "$umed" grid g.cfg -o counted $often; same $rc 0
    calls=$(cat count)
    faulty count rare "$umed" grid g.cfg -o rare; same $rc 0
    calls_rare=$(cat count)
fi

# strike TRIAL KIND: starts the sweep and kills it at a moment of its own.
strike() {
    case $2 in
    time)
        "$umed" grid g.cfg -o killed $often >out 2>err &
        pid=$!
        sleep "$(awk "BEGIN { print $(draw "$seed" "$1" "$took") / 1000 }")"
        kill -KILL $pid 2>/dev/null
        wait $pid 2>/dev/null
        ;;
    call) faulty "kill:$(draw "$seed" "$1" "$calls")" killed "$umed" grid g.cfg -o killed $often ;;
    rare) faulty "kill:$(draw "$seed" "$1" "$calls_rare")" killed "$umed" grid g.cfg -o killed ;;
    esac
}

for trial in $(seq "$trials"); do
    kind=time
    [ -n "$fault" ] && kind=$(echo time call rare | cut -d' ' -f$((trial % 3 + 1)))
    rm -rf killed
    for again in 0 $(seq $((trial % 2))); do # every other one is killed twice
        strike "$((trial + 100 * again))" $kind
        all_good killed
    done
    expect 0 timeout 100 "$umed" grid g.cfg -o killed
    lacks err "waiting for"
    results killed >killed.txt
    cmp -s once.txt killed.txt || fail "trial $trial ($kind): $(diff once.txt killed.txt)"
done
[ "$trials" -ge 9 ] || fail "only $trials moments"
