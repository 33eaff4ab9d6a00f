# Usage: medlocker.sh UMED PROBE. Watermarks from training to recovery; ranks, interruptions, keys.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
quick=(--set model.base_width=4 --set classifier.epochs=4 --set classifier.lr=0.03 --set medlocker.bhe.population=12 --set medlocker.time=1700000000
    --set medlocker.recovery=lossless --set run.checkpoint_s=0)

expect 0 "$umed" synth --scene retina --n 60 --size 32 -o r.h5
expect 0 "$umed" medlocker train --data r.h5 --model resnet18 "${quick[@]}" -o m.h5
holds out "test accuracy"
expect 64 "$umed" medlocker train --data r.h5 --model unet -o u.h5
expect 64 "$umed" medlocker trian
holds err "train"
expect 0 "$umed" medlocker key -o key
expect 64 "$umed" medlocker key -o key

# A key that others may read is refused, and nothing is written.
chmod 640 key
expect 64 "$umed" medlocker mark --data r.h5 --key key "${quick[@]}" -o no.h5 m.h5
holds err "chmod 600"
[ ! -e no.h5 ] || fail "no.h5 was written"
chmod 600 key

expect 0 "$umed" medlocker mark --data r.h5 --key key "${quick[@]}" -o one.h5 m.h5
holds out "lesion_change_levels 0"
same "$(stat -c %a one.private/certificate.h5 one.private)" "600
700" "modes of the owner's side"

# Stopped at once and again after a second: the same command goes on, to the same bytes.
rc=75
expect 75 "$umed" medlocker mark --data r.h5 --key key "${quick[@]}" --limit-s 0.001 -o again.h5 m.h5
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
    "$umed" medlocker mark --data r.h5 --key key "${quick[@]}" --limit-s 1 -o again.h5 m.h5 >out 2>err
    rc=$?
    [ $rc = 75 ] || break
done
[ $rc = 75 ] && expect 0 "$umed" medlocker mark --data r.h5 --key key "${quick[@]}" -o again.h5 m.h5
cmp one.h5 again.h5 || fail "a resumed marking differs"
cmp one.private/certificate.h5 again.private/certificate.h5 || fail "certificates of a resumed marking differ"
[ ! -e again.private/marks.ckpt.h5 ] || fail "the state file stays"

# Killed between blocks.
"$umed" medlocker mark --data r.h5 --key key "${quick[@]}" -o killed.h5 m.h5 >out 2>err &
pid=$!
for _ in $(seq 200); do [ -e killed.private/marks.ckpt.h5 ] && break; sleep 0.05; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
[ -e killed.h5 ] || expect 0 "$umed" medlocker mark --data r.h5 --key key "${quick[@]}" -o killed.h5 m.h5
cmp one.h5 killed.h5 || fail "a killed marking differs"
cmp one.private/certificate.h5 killed.private/certificate.h5 || fail "certificates of a killed marking differ"

if command -v mpirun >/dev/null && mpirun --allow-run-as-root --oversubscribe -np 2 true 2>/dev/null; then
    expect 0 mpirun --allow-run-as-root --oversubscribe -np 4 "$umed" medlocker mark --data r.h5 --key key "${quick[@]}" -o four.h5 m.h5
    cmp one.h5 four.h5 || fail "four ranks mark otherwise"
    cmp one.private/certificate.h5 four.private/certificate.h5 || fail "certificates of four ranks differ"
fi

list=one.private/certificate.h5
expect 0 "$umed" medlocker verify --data one.h5 --certificate $list --key key
holds out "exact 60"
expect 0 "$umed" medlocker key -o other
expect 65 "$umed" medlocker verify --data one.h5 --certificate $list --key other
holds err "not signed with this key"
expect 3 "$umed" medlocker verify --data r.h5 --certificate $list --key key
expect 0 "$umed" medlocker recover --data one.h5 --certificate $list --key key -o back.h5
holds out "equal_to_clean 60"
expect 0 "$umed" export r.h5 -o clean
expect 0 "$umed" export back.h5 -o back
diff -r clean/images back/images >/dev/null || fail "recovered images differ from the clean ones"

# Graded photographs: classes and split from a list; a mask may be missing, a class may not be nonsense.
awk 'BEGIN { print "stem,class,split"; for (i = 0; i < 59; i++) printf "retina-%05d,%d,%s\n", i, i % 2, i % 5 ? "train" : "test" }' >clean/labels.csv
rm clean/masks/retina-00003.png
expect 0 "$umed" import clean --layout graded --size 32 -o graded.h5
holds err "59 images 32x32x3, 8 bit, 47 train and 12 test"
expect 0 "$umed" medlocker report --data graded.h5 --test graded.h5 m.h5
holds out "0 of"
echo "retina-00059,second,train" >>clean/labels.csv
expect 65 "$umed" import clean --layout graded --size 32 -o bad.h5
holds err "retina-00059"

expect 0 "$umed" medlocker seal --certificate $list --key key --user "dr. house" --only image=retina-00003 -o part.h5
expect 0 "$umed" medlocker recover --data one.h5 --sealed part.h5 --key part.h5.key -o mine.h5
holds out "equal_to_clean 1"
holds out "without_certificate 59"
expect 65 "$umed" medlocker recover --data one.h5 --sealed part.h5 --key key -o not.h5
expect 0 "$umed" medlocker report --data r.h5 --test one.h5 --rows test --certificate $list --key key m.h5
holds out "recovered"
holds out "false positives"
exit 0
