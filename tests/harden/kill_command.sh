# kill -9 of single commands at random calls that change files, most of them where results are written: the same command finishes, with
# the same bits, although a model, a state or the owner's side may already stand.
. "$(dirname "$0")/common.sh"
[ -n "$fault" ] || { echo "skipped: the fault library cannot be loaded into this build"; exit 77; }
seed=${UMED_SEED:-1}
trials=6
[ "$long" = 1 ] && trials=60
echo "kill_command.sh: $trials calls for each command, UMED_SEED=$seed"

small="--set model.base_width=2 --set umed.gen.base_width=2 --set umed.schedule.cycles=1 --set umed.batch=8
  --set exploiter.epochs=2 --set exploiter.batch=8 --set exploiter.adam_lr=1e-3 --threads 1 -q"
expect 0 "$umed" synth --n 24 --size 32 -q -o clean.h5

protect() { echo "$umed" protect --data clean.h5 $small --state "$1/state.h5" -o "$1/released.h5"; }
exploit() { echo "$umed" exploit --data clean.h5 --test clean.h5 $small --save-model "$1/model.h5" -o "$1/result.h5"; }

# What must be the same, and which files there are.
protect_results() {
    cksum <"$1/released.h5"
    "$probe" attr "$1/state.h5" sha256
    "$probe" attr "$1/released.private/private.h5" released_sha256
    names "$1"
}
exploit_results() {
    "$probe" attr "$1/model.h5" sha256
    "$probe" attr "$1/result.h5" science_sha256
    names "$1"
}

for command in protect exploit; do
    mkdir once
    faulty count once $($command once)
    same $rc 0 "$command"
    calls=$(cat count)
    ${command}_results once >once.txt
    for trial in $(seq "$trials"); do
        rm -rf killed
        mkdir killed
        at=$((calls - $(draw "$seed" "$trial" $((calls / (trial % 4 == 0 ? 1 : 3)))) + 1))
        faulty "kill:$at" killed $($command killed)
        [ $rc -gt 128 ] || fail "$command was not killed at call $at of $calls"
        all_good killed
        $($command killed) >out 2>err
        rc=$?
        # killed behind the last result: it is there and told so
        [ $rc = 0 ] || { [ $rc = 64 ] && grep -q "exists" err; } || fail "$command after a kill at call $at of $calls: exit code $rc"
        ${command}_results killed >killed.txt
        cmp -s once.txt killed.txt || fail "$command after a kill at call $at of $calls: $(diff once.txt killed.txt)"
    done
    rm -rf once
done
