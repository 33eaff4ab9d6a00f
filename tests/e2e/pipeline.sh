# From images to a report: every file that one command writes is what the next one reads.
. "$(dirname "$0")/common.sh"

small="--set model.base_width=2 --set umed.gen.base_width=2 --set umed.schedule.cycles=1 --set umed.batch=8
  --set exploiter.epochs=2 --set exploiter.batch=8 --set exploiter.adam_lr=1e-3 --threads 1 -q"
expect 0 "$umed" synth --n 24 --size 32 -q -o clean.h5

# pixels survive the way through PNG files
expect 0 "$umed" export clean.h5 -q -o png
expect 0 "$umed" import png --size 0 -q -o again.h5
same "$("$probe" diff clean.h5 again.h5)" "24 0 0" "export and import"

# a release stays within the bound, covers all rows, and betrays nothing
expect 0 "$umed" protect --data clean.h5 $small --state state.h5 -o released.h5
holds out "psnr_db"
set -- $("$probe" diff clean.h5 released.h5)
same "$1" 24
[ "$2" -ge 20 ] || fail "only $2 of 24 images are protected"
[ "$3" -ge 1 ] && [ "$3" -le 4 ] || fail "a pixel changed by $3 levels, the bound is 4"
same "$(stat -c %a released.private)" 700 "mode of the owner's folder"
ls released.private/*.ckpt.h5 2>/dev/null && fail "the checkpoint was left behind"
expect 0 "$umed" check released.h5
expect 0 "$umed" check released.private
! "$probe" attr released.h5 inputs 2>/dev/null || fail "a released file names its inputs"
expect 64 "$umed" protect --data clean.h5 $small -o released.h5
expect 64 "$umed" protect --data clean.h5 $small --private released.private -o other.h5; holds err "restores another release"
expect 0 "$umed" export released.h5 -q -o png_released
expect 0 "$umed" import png_released --size 0 -q -o released_again.h5
same "$("$probe" diff released.h5 released_again.h5)" "24 0 0" "a released file through PNG"

# only the training rows, as a sweep does
expect 0 "$umed" protect --data clean.h5 $small --rows train -o train_only.h5
set -- $("$probe" diff clean.h5 train_only.h5)
[ "$2" -le 19 ] || fail "$2 rows changed, 19 are for training"

# training, its model and its prediction
expect 0 "$umed" exploit --data released.h5 --test clean.h5 $small --save-model model.h5 -o result.h5
holds out "test "
cp out scores
expect 0 "$umed" check result.h5
[ ! -e result.h5.ckpt.h5 ] || fail "the checkpoint was left behind"
expect 0 "$umed" predict --model model.h5 --data clean.h5 --threads 1 -q --metrics -o pred.h5
same "$(grep '^test' out)" "$(grep '^test' scores)" "the saved model scores as it did in training"
expect 0 "$umed" check pred.h5

# the same pixels under another name on both sides
expect 0 "$umed" export clean.h5 -q -o renamed
for side in images masks; do (cd renamed/$side && for f in *; do mv "$f" "x-$f"; done); done
expect 0 "$umed" import renamed --size 0 -q -o renamed.h5
expect 65 "$umed" exploit --data renamed.h5 --test clean.h5 $small -o leak.h5; holds err "the same pixels"
