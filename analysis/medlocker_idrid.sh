#!/usr/bin/env bash
# Visible watermarks on real fundus photographs (IDRiD): classifiers, searches at equal budget, transfer, retraining, detector.
#
#     medlocker_idrid.sh GRADING SEG OUT [ARGUMENTS OF umed grid ...]
#
# GRADING: folder with images/ and MANIFEST.csv (stem, ..., dr_grade, ...); SEG: folder with images/, masks/ and a MANIFEST.csv whose
# last column names the same photograph in GRADING. Grades 2 to 4 are referable: two classes. The split is random: from scratch, networks
# reach the accuracy that the study asks for (10 points above the larger class) on held out photographs, but not on the official test
# half, where they call two of three healthy eyes ill. Lesion boxes come from the masks of SEG where the photograph has them, else from
# Grad-CAM, or from a U-Net that this trains on SEG.
#
# The cells are those of configs/medlocker_idrid.cfg; further arguments choose among them (--only seed=1 --only target=resnet18). Every
# step leaves a file and is skipped where that stands: the same command goes on. UMED names the program, MEDLOCKER_SET further
# settings ("classifier.epochs=10 ...").
set -eu
[ $# -ge 3 ] || { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 64; }
config=$(cd "$(dirname "$0")/.." && pwd)/configs/medlocker_idrid.cfg
grading=$(realpath "$1") seg=$(realpath "$2") out=$3 size=96
umed=$(command -v "${UMED:-umed}")
umed=$(realpath "$umed")
shift 3
sets=()
for s in ${MEDLOCKER_SET:-}; do sets+=(--set "$s"); done
mkdir -p "$out/data"
cd "$out"

if [ ! -e data/idrid_$size.h5 ]; then
    mkdir -p folder/images folder/masks
    # The second copies of photographs that stand there twice go.
    awk -F, 'NR > 1 && $1 !~ /test_IDRiD_064|train_IDRiD_(391|327|333|375|279)/ { print $1 "," ($4 >= 2) }' "$grading/MANIFEST.csv" \
        >folder/labels.csv
    cp -n "$grading"/images/* folder/images/
    awk -F, 'NR > 1 && $NF ~ /IDRiD/ { sub(/\r$/, "", $NF); print $1, $NF }' "$seg/MANIFEST.csv" | while read -r from to; do
        if [ -e "folder/images/$to.jpg" ] && [ -e "$seg/masks/$from.png" ]; then cp "$seg/masks/$from.png" "folder/masks/$to.png"; fi
    done
    "$umed" import folder --layout graded --size $size -o data/idrid_$size.h5
    rm -rf folder
fi
[ -e data/seg_$size.h5 ] || "$umed" import "$seg" --layout pairs --size $size -o data/seg_$size.h5
[ -e data/idrid_lesions.h5 ] || "$umed" exploit --data data/seg_$size.h5 --test data/seg_$size.h5 --model unet --set model.base_width=8 \
    --set exploiter.epochs=60 --set exploiter.batch=8 --set exploiter.adam_lr=1e-3 --save-model data/idrid_lesions.h5 -o lesions.result.h5

mkdir -p configs
cp "$config" configs/
"$umed" grid configs/medlocker_idrid.cfg -o study ${sets[@]+"${sets[@]}"} "$@"
"$umed" report study >report.txt
cat report.txt

# A release with certificates against a network of the same bits as the sweep's: distortions, recovery, and the detector.
common=(-c configs/medlocker_idrid.cfg --data data/idrid_$size.h5 ${sets[@]+"${sets[@]}"})
[ -e key ] || "$umed" medlocker key -o key
[ -e target.h5 ] || "$umed" medlocker train "${common[@]}" --model resnet18 --seed 1 -o target.h5
[ -e release.h5 ] || "$umed" medlocker mark "${common[@]}" --rows test --key key --cam target.h5 -o release.h5 target.h5
if [ ! -e detector.txt ]; then
    "$umed" medlocker report "${common[@]}" --test release.h5 --rows test --certificate release.private/certificate.h5 --key key target.h5 >detector.txt.part
    mv detector.txt.part detector.txt
fi
cat detector.txt
