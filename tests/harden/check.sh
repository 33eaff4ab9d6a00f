# umed check on every kind of file that the program writes: flipped bytes, a missing completion mark, a broken split, a broken bound, and
# content changed by a tool that renews all checksums.
. "$(dirname "$0")/common.sh"
flip=$4
small="--set model.base_width=1 --set umed.gen.base_width=1 --set umed.schedule.cycles=1 --set umed.batch=8
  --set exploiter.epochs=1 --set exploiter.batch=8 --set exploiter.adam_lr=1e-3 --threads 1 -q"

expect 0 "$umed" synth --n 12 --size 16 -q -o clean.h5
expect 0 "$umed" synth --n 12 --size 16 --shards 3 -q -o shards
expect 0 "$umed" protect --data clean.h5 $small --state state.h5 -o released.h5
expect 0 "$umed" exploit --data released.h5 --test clean.h5 $small --save-model model.h5 -o result.h5
expect 0 "$umed" predict --model model.h5 --data clean.h5 --threads 1 -q -o pred.h5
tiny_sweep clean.h5 1 1 | sed 's/base_width = 2/base_width = 1/g' >g.cfg
expect 0 "$umed" grid g.cfg -o sweep -q
expect 0 "$umed" report sweep -q
expect 75 "$umed" exploit --data released.h5 --test clean.h5 $small --set exploiter.epochs=1000000 --limit-s 0.3 -o stopped.h5
protected=$(ls sweep/protected/*[0-9a-f].h5)
cell=$(ls sweep/cells/*/result.h5 | head -n 1)
expect 0 "$umed" check .

"$flip" bytes clean.h5 shards/shard-00001-of-00003.h5 released.h5 released.private/private.h5 released.private/result.h5 state.h5 \
    model.h5 result.h5 pred.h5 stopped.h5.ckpt.h5 "$protected" "${protected%.h5}.result.h5" "$cell" sweep/results.h5 ||
    fail "flipped bytes"
expect 0 "$umed" check .

# broken TEXT FILE EDIT...: after the edit the file is refused with that text; the good one comes back
broken() {
    cp "$2" kept
    "$flip" "${@:3}" || fail "the edit of $2"
    expect 65 "$umed" check "$2"
    holds out "$1"
    holds err "$2"
    cp kept "$2"
}
for file in clean.h5 released.h5 released.private/private.h5 state.h5 model.h5 result.h5 pred.h5 stopped.h5.ckpt.h5 "$protected" "$cell" \
    sweep/results.h5; do
    broken "no root attribute 'complete'" "$file" drop "$file" complete
    broken "no attribute 'format'" "$file" drop "$file" format
done
for file in clean.h5 released.h5 "$protected"; do
    broken "/split of row 3" "$file" poke "$file" /split 3 2
    broken "values other than 0 and 1" "$file" poke "$file" /masks 9 7
done
split=$("$probe" split clean.h5 0)
broken "the file was changed" clean.h5 poke clean.h5 /split 0 $((1 - split))
broken "was written for: the file was changed" released.h5 poke released.h5 /split 0 $((1 - split))
broken "the file was changed" "$protected" poke "$protected" /split 0 $((1 - split))
broken "was written for: the file was changed" released.h5 poke released.h5 /images 5 77
broken "the bound is 4" released.private/private.h5 poke released.private/private.h5 /delta 5 5
broken "metrics and curves have sha256" result.h5 poke result.h5 /metrics/test_dsc_batch 0 0.99
broken "metrics and curves have sha256" released.private/result.h5 poke released.private/result.h5 /metrics/visibility_linf 0 0.1
broken "the file was changed" model.h5 poke model.h5 /state_dict/outc.conv.bias 0 3
broken "the file was changed" state.h5 poke state.h5 /state_dict/texture.outc.conv.bias 0 3
expect 0 "$umed" check .
