# Usage: medlocker_grid.sh UMED PROBE. Watermark cells of a sweep: listed, computed, killed, shared, spread over ranks, reported.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

# locker_sweep TARGETS SEARCHES [FURTHER BLOCKS]: networks of width 4 on 32x32 images.
locker_sweep() {
    cat <<EOF
model: { base_width = 4; };
classifier: { epochs = 3; lr = 0.03; };
medlocker: { bhe: { population = 8; generations = 1; }; grad: { restarts = 2; steps = 2; }; budget = 12; };
run: { threads = 1; };
grid: { datasets = ( { name = "retina"; path = "r.h5"; } );
  variants = ( { name = "lost"; base = "random"; set = [ "classifier.shuffle_labels=true" ]; },
               { name = "free"; base = "bhe"; set = [ "medlocker.avoid_lesions=false" ]; },
               { name = "still"; base = "random"; set = [ "medlocker.alpha.low=0", "medlocker.alpha.high=0" ]; } );
  blocks = ( { kind = "medlocker"; backbones = ["resnet18", "vgg16_bn"]; targets = [$1]; searches = [$2]; } ${3:-} ); seeds = [1]; };
EOF
}
# metric DIR KEY NAME
metric() { "$probe" metric "$1/cells/$2/result.h5" "$3"; }
# key_of COLUMN=VALUE...: the key of the one cell of g.cfg that has these coordinates
key_of() {
    "$umed" grid "$config" --dry-run --format csv -q | awk -F, -v want="$*" '
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; n = split(want, wants, " "); next }
        { for (i = 1; i <= n; i++) { split(wants[i], pair, "="); if ($at[pair[1]] != pair[2]) next } print $1 }'
}

expect 0 "$umed" synth --scene retina --n 60 --size 32 -q -o r.h5
again='{ kind = "medlocker"; backbones = ["resnet18", "vgg16_bn"]; targets = ["resnet18"]; searches = ["random"]; retrain = ["resnet18"]; }'
lost='{ kind = "medlocker"; backbones = ["resnet18"]; searches = ["lost"]; }'
locker_sweep '"resnet18", "resnet18+vgg16_bn", "random"' '"bhe", "random", "free", "still"' ", $again, $lost" >g.cfg
locker_sweep '"resnet18", "random"' '"bhe", "random"' ", $again" >small.cfg
config=g.cfg

# Listed with costs: 4 searches against 2 targets, 2 random ones against no network, one retraining, one of shuffled labels; the
# block that repeats a cell adds none.
expect 0 "$umed" grid g.cfg --dry-run --format csv -q
same "$(head -n 1 out)" "key,dataset,search,target,networks,retrained,seed,flops,needs_flops,bytes,state" "columns"
same "$(tail -n +2 out | wc -l)" 12 "cells"
same "$(tail -n +2 out | awk -F, '$8 <= 0 || $9 <= 0 || $10 <= 0' | wc -l)" 0 "cells without cost"
expect 0 "$umed" grid g.cfg --dry-run
holds out "12 cells"
holds out "3 networks"

expect 0 "$umed" grid g.cfg -o once
science once >once.txt
same "$(wc -l <once.txt)" 12 "results"
expect 0 "$umed" check once
before=$(find once -type f -printf '%p %T@\n' | sort)
expect 0 "$umed" grid g.cfg -o once;  lacks err "start"
same "$(find once -type f -printf '%p %T@\n' | sort)" "$before" "a second run changed files"
expect 0 "$umed" grid g.cfg -o once --status
holds out "done 12"
holds out "networks 3 of 3"
find once -name '*ckpt*' -o -name '*lease*' -o -name '*.part' | grep -q . && fail "something was left behind"

# What the numbers must be, whatever the networks learned.
key=$(key_of search=bhe target=resnet18 retrained=)
for net in resnet18 vgg16_bn; do
    same "$(metric once "$key" ${net}_n)" 12 "test images"
    same "$(metric once "$key" ${net}_right_after)" "$(($(metric once "$key" ${net}_right_before) - $(metric once "$key" ${net}_broken) +
        $(metric once "$key" ${net}_mended)))" "counts of $net"
done
for name in right_before:accuracy_clean right_after:accuracy_marked; do # shares of the classes add up to the count of all
    sum=0
    for class in 0 1; do
        sum="$sum + $(metric once "$key" resnet18_class${class}_n) * $(metric once "$key" resnet18_class${class}_${name#*:})"
    done
    awk "BEGIN { d = $sum - $(metric once "$key" resnet18_${name%:*}); exit d * d > 1e-12 }" || fail "classes of $name"
done
same "$(metric once "$key" marks_lesion_change)" 0 "change inside lesions"
awk -v b="$(metric once "$key" marks_margin_before)" -v a="$(metric once "$key" marks_margin_after)" 'BEGIN { exit !(a < b) }' ||
    fail "the search did not lower the margin"
same "$(metric once "$key" marks_forwards)" 40 "forward passes"
# Sanity row: opacity 0 changes nothing.
key=$(key_of search=still target=resnet18)
same "$(metric once "$key" resnet18_right_after)" "$(metric once "$key" resnet18_right_before)" "accuracy at opacity 0"
same "$(metric once "$key" resnet18_broken)" 0 "broken at opacity 0"
# Without a network one place is drawn and no margin is known.
key=$(key_of search=random target=random)
same "$(metric once "$key" marks_forwards)" 1 "forward passes without a network"
same "$(metric once "$key" marks_margin_after)" nan "margin without a network"
# Ablation: where lesions are not avoided their source is not asked for.
key=$(key_of search=free target=resnet18)
same "$(metric once "$key" marks_unknown)" 12 "lesions not asked for"
same "$(metric once "$key" marks_none)" 0 "left unmarked"
# The ensemble's margin is the mean of its networks', so both are white box.
key=$(key_of search=bhe target=resnet18+vgg16_bn)
same "$("$probe" attr "once/cells/$key/result.h5" networks)" "*resnet18 *vgg16_bn" "networks of an ensemble"
# Three networks of different weights (two backbones, and one that learned shuffled labels), and one trained anew on marked images.
key=$(key_of retrained=resnet18)
same "$("$probe" attr "once/cells/$key/result.h5" networks)" "*resnet18 resnet18_retrained" "networks of a retraining"
weights=$(for f in once/networks/*.result.h5; do "$probe" attr "$f" weights_sha256; done)
same "$(sort -u <<<"$weights" | wc -l)" 3 "networks"
grep -q "$("$probe" attr "once/cells/$key/result.h5" weights_sha256)" <<<"$weights" &&
    fail "the network trained on marked images is the one trained on clean ones"

# `umed medlocker train` with the same settings and seed trains the sweep's network.
expect 0 "$umed" medlocker train -c g.cfg --data r.h5 --model vgg16_bn --seed 1 -o same.h5
grep -qF "$(grep -oE '[0-9a-f]{64}' out)" <<<"$weights" || fail "the command trains another network than the sweep"

# Lesions from a network instead: its weights are in the key, its path is not, and without the file nothing starts.
expect 0 "$umed" exploit --data r.h5 --test r.h5 --model unet --set model.base_width=4 --set exploiter.epochs=4 --set exploiter.batch=8 \
    --set exploiter.adam_lr=3e-3 --save-model lesions.h5 -o lesions.result.h5
cp lesions.h5 renamed.h5
# The same photographs, one with its mask.
expect 0 "$umed" export r.h5 -q -o folder
awk 'BEGIN { for (i = 0; i < 60; i++) printf "retina-%05d,%d,%s\n", i, i % 2, i % 5 ? "train" : "test" }' >folder/labels.csv
find folder/masks -type f ! -name retina-00005.png -delete
expect 0 "$umed" import folder --layout graded --size 32 -q -o bare.h5
net='{ name = "net"; base = "bhe"; set = ["medlocker.wsm.model=lesions.h5"]; }'
locker_sweep '"resnet18"' '"bhe", "net"' | sed "s/\"r.h5\"/\"bare.h5\"/; s/variants = (/variants = ( $net,/" >bare.cfg
config=bare.cfg
key=$(key_of search=net)
expect 0 "$umed" grid bare.cfg -o bare
same "$(metric bare "$key" marks_from_mask)/$(metric bare "$key" marks_from_net)/$(metric bare "$key" marks_from_cam)" 1/11/0 "sources with a lesion network"
same "$(metric bare "$(key_of search=bhe)" marks_from_net)" 0 "sources without one"
sed -i 's/=lesions.h5/=renamed.h5/' bare.cfg
same "$(key_of search=net)" "$key" "key after a change of the path"
expect 0 "$umed" exploit --data r.h5 --test r.h5 --model unet --set model.base_width=4 --set exploiter.epochs=1 --save-model other.h5 -o other.result.h5
sed -i 's/=renamed.h5/=other.h5/' bare.cfg
[ "$(key_of search=net)" != "$key" ] || fail "another network has the same key"
sed -i 's/=other.h5/=missing.h5/' bare.cfg
expect 74 "$umed" grid bare.cfg -o bare
holds err "medlocker.wsm.model: there is no missing.h5"
expect 0 "$umed" medlocker key -o key
expect 0 "$umed" medlocker train --data bare.h5 --model resnet18 --set model.base_width=4 --set classifier.epochs=1 -o target.h5
expect 74 "$umed" medlocker mark --data bare.h5 --key key --set medlocker.wsm.model=missing.h5 -o no.h5 target.h5
holds err "there is no missing.h5"
expect 65 "$umed" medlocker mark --data bare.h5 --key key --set medlocker.wsm.model=target.h5 -o no.h5 target.h5
holds err "expected a segmenter"
expect 0 "$umed" medlocker mark --data bare.h5 --rows test --key key --set medlocker.wsm.model=lesions.h5 --set medlocker.bhe.population=4 -o net.h5 target.h5
holds out "from a lesion network 11"

# Reported: the tables, the csv, the merged view.
expect 0 "$umed" report once
holds out "attack success rate in percent, target against search"
holds out "resnet18+vgg16_bn"
holds out "trained on marked images without authorisation"
expect 0 "$umed" report once --format csv
holds out ",retina,medlocker:bhe,,vgg16_bn,none,resnet18,accuracy_marked,"
holds out ",retina,medlocker:random,,resnet18_retrained,retrain,resnet18,accuracy_clean,"

# Killed in the middle of every kind of work; the next run goes on and ends with the same bits.
config=small.cfg
expect 0 "$umed" grid small.cfg -o few
science few >few.txt
for moment in "start  train" "start  mark" "start  judge" "start  retrain"; do
    killed_at "$moment" killed "$umed" grid small.cfg -o killed --set run.checkpoint_s=0
    expect 0 timeout 60 "$umed" grid small.cfg -o killed
    same "$(science killed)" "$(cat few.txt)" "killed after $moment"
    find killed -name '*ckpt*' -o -name '*lease*' | grep -q . && fail "something was left behind"
done

# Stopped by a time limit.
limited limited small.cfg
same "$(science limited)" "$(cat few.txt)" "$runs limited runs"

# Two runs on one folder, and ranks: one cell each, then together.
shared shared small.cfg
same "$(science shared)" "$(cat few.txt)" "shared by two runs"
if command -v mpirun >/dev/null && mpirun --allow-run-as-root --oversubscribe -np 2 true 2>/dev/null; then
    for each in 1 2; do
        expect 0 mpirun --allow-run-as-root --oversubscribe -np 2 "$umed" grid small.cfg -o ranks$each --set grid.ranks_per_cell=$each
        same "$(science ranks$each)" "$(cat few.txt)" "two ranks, $each to a cell"
    done
fi

# Every refusal says where, and what is near.
refuse() { # TEXT SED-EXPRESSION
    sed "$2" small.cfg >bad.cfg
    expect 64 "$umed" grid bad.cfg --dry-run
    holds err "$1"
}
refuse "did you mean 'resnet18'" 's/targets = \["resnet18", /targets = ["resnet81", /'
refuse "did you mean 'bhe'" 's/searches = \["bhe"/searches = ["bhee"/'
refuse "target random goes with search random" 's/searches = \["bhe", "random"\]/searches = ["bhe"]/'
refuse "unknown classifier 'unet'" 's/backbones = \["resnet18"/backbones = ["unet"/'
refuse "did you mean 'medlocker'" 's/kind = "medlocker"/kind = "medloker"/'
refuse "unknown key 'protectors'" 's/searches = /protectors = /'

# A dataset without classes: its networks fail, and what needs them with them; the rest goes on.
expect 0 "$umed" synth --n 24 --size 32 -q -o plain.h5
sed 's/datasets = (/datasets = ( { name = "plain"; path = "plain.h5"; },/' small.cfg >mixed.cfg
expect 3 "$umed" grid mixed.cfg -o mixed
holds err "FAILED train plain/resnet18 seed 1"
holds err "which failed"
same "$(science mixed)" "$(cat few.txt)" "the cells that work"
exit 0
