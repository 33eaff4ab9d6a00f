#!/usr/bin/env bash
# What does a generator that saw a fifth of the images do for the others, and which way of protecting large images outlives resizing?
#
#   bash tests/archive/busi.sh UMED BUSI-FOLDER WORK-FOLDER        about 25 minutes of one core; started again, it goes on
#
# BUSI-FOLDER: images/ and masks/ for `umed import`, and raw_samples/ with some originals under the publisher's names. Settings are those of
# configs/busi_small.cfg (64 pixels, width 8). An image of 150 pixels is to 64 what BUSI's originals of about 500 are to 224.
#
# Prints the clean test DSC (batch 32, in percent) of exploiters that were trained on four fifths of the training rows ("rest"):
#     clean        as they are
#     all          protected by generators fitted on all training rows
#     fifth        protected by generators fitted on the other fifth, for as many epochs
#     fifth_long   the same, for as many steps (five times the epochs)
#     native       protected at 150 pixels by the generators of `all`, then resized to 64 by the exploiter
#     resampled    the same with archive.apply = resampled
#     syn_...      the same three on synthetic images of 150 pixels, with generators fitted on them at 64
# and what the network of `all`, which has learned to rely on the perturbation, makes of the originals: the nearer native or resampled come
# to `at 64` (protected behind the resizing) and the farther they are from `clean`, the more of the perturbation has outlived the resizing.
set -u
umed=$(realpath "$1") || exit 64
busi=$(realpath "$2") || exit 64
here=$(realpath "$(dirname "$0")")
mkdir -p "$3" && cd "$3" || exit 64
cycles=${UMED_CYCLES:-20} epochs=${UMED_EPOCHS:-30} threads=${UMED_THREADS:-1} large=150
cfg="--set model.base_width=8 --set umed.gen.base_width=8 --set umed.adam.lr=4e-3 --set exploiter.epochs=$epochs
  --set exploiter.batch=16 --set exploiter.adam_lr=1e-3 --set run.checkpoint_s=60 --set run.progress_s=60 --threads $threads"

say() { echo "$(date +%T) $*" >>log; }
# made RESULT COMMAND...: runs it unless RESULT is there.
made() {
    [ -e "$1" ] && return
    say "${@:2}"
    "${@:2}" >>log 2>&1 || { tail -n 5 log; echo "failed: ${*:2}"; exit 1; }
}
# tree FOLDER DATA...: their images as PNG files in FOLDER/images and FOLDER/masks.
tree() {
    [ -e "$1" ] && return
    rm -rf "$1.part" && mkdir -p "$1.part/images" "$1.part/masks" || exit 1
    for data in "${@:2}"; do
        rm -rf "$1.one"
        made "$1.one" "$umed" export "$data" -o "$1.one" -q
        mv "$1.one"/images/* "$1.part/images" && mv "$1.one"/masks/* "$1.part/masks" || exit 1
    done
    rm -rf "$1.one" && mv "$1.part" "$1" || exit 1
}
# small NAME FOLDER: a folder of tree at the exploiter's size.
small() { made "$1" "$umed" import "$2" --size 64 --channels 1 -q -o "$1"; }
fit() { made "$1.state.h5" "$umed" protect --data "$2" --rows train $cfg --set umed.schedule.cycles="$3" --state "$1.state.h5" -o "$1.fit.h5"; }
apply() { made "$1/manifest.jsonl" "$umed" archive protect "$2" $cfg --set umed.schedule.cycles="$4" --state "$3.state.h5" -o "$1" "${@:5}"; }
exploit() { made "$1.result.h5" "$umed" exploit --data "$2" --test "$3" --model unet $cfg --save-model "$1.model.h5" -o "$1.result.h5"; }
rows() { [ -e "$1" ] || python3 "$here/rows.py" "$@" || exit 1; }

# shellcheck disable=SC2086
{
    small all64.h5 "$busi"
    made all$large.h5 "$umed" import "$busi" --size $large --channels 1 -q -o all$large.h5
    rows fifth.h5 all64.h5 fifth
    rows rest.h5 all64.h5 rest
    rows rest$large.h5 all$large.h5 rest
    exploit clean rest.h5 rest.h5
    fit all all64.h5 "$cycles"
    apply all rest.h5 all "$cycles"
    exploit all all rest.h5
    for how in native resampled; do
        apply $how rest$large.h5 all "$cycles" --set archive.apply=$how --set archive.size=64
        tree $how.png $how
        small $how.64.h5 $how.png
        exploit $how $how.64.h5 rest.h5
    done

    made raw/shard-00000-of-00001.h5 "$umed" archive pack "$busi/raw_samples" --layout busi --set data.channels=1 -q -o raw
    for how in clean native resampled; do
        from=raw
        [ $how = clean ] || from=raw.$how
        [ $how = clean ] || apply raw.$how raw all "$cycles" --set archive.apply=$how --set archive.size=64
        [ -e raw.$how.one ] || python3 "$here/rows.py" raw.$how.one $from/shard-00000-of-00001.h5 each || exit 1
        tree raw.$how.png raw.$how.one/*.h5
        small raw.$how.64.h5 raw.$how.png
    done
    apply raw.at64 raw.clean.64.h5 all "$cycles"
    ln -sf raw.at64/shard-00000-of-00001.h5 raw.at64.64.h5
    for how in clean native resampled at64; do
        [ -e raw.$how.dsc ] || { rm -f raw.pred.h5
            "$umed" predict --model all.model.h5 --data raw.$how.64.h5 --metrics --threads "$threads" -q -o raw.pred.h5 >raw.dsc 2>>log &&
            mv raw.dsc raw.$how.dsc || exit 1; }
    done

    fit fifth fifth.h5 "$cycles"
    apply fifth rest.h5 fifth "$cycles"
    exploit fifth fifth rest.h5
    fit fifth_long fifth.h5 $((5 * cycles))
    apply fifth_long rest.h5 fifth_long $((5 * cycles))
    exploit fifth_long fifth_long rest.h5

    made syn$large.h5 "$umed" synth --n 400 --size $large --seed 5 -q -o syn$large.h5
    tree syn.png syn$large.h5
    small syn64.h5 syn.png
    exploit syn_clean syn64.h5 syn64.h5
    fit syn syn64.h5 "$cycles"
    for how in native resampled; do
        apply syn_$how syn$large.h5 syn "$cycles" --set archive.apply=$how --set archive.size=64
        tree syn_$how.png syn_$how
        small syn_$how.64.h5 syn_$how.png
        exploit syn_$how syn_$how.64.h5 syn64.h5
    done
}
python3 "$here/rows.py" table
