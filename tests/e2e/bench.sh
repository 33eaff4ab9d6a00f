# `umed bench`: what is measured is checked, peers are asked in turns, a missing or dying peer is an error.
. "$(dirname "$0")/common.sh"

mkdir peers
cat >peers/onednn <<'PEER'
#!/bin/sh
echo "$@" >args
echo "ready a second, always"
while read -r line; do
    echo "$line" >>asked
    case $line in run) echo 1.0 ;; *) echo "3e9 1e9" ;; esac
done
PEER
printf '#!/bin/sh\necho "no library here" >&2\nexit 1\n' >peers/pytorch
chmod +x peers/*
export UMED_PEERS="$work/peers"
last() { tail -n 1 "$work/out"; }

expect 0 "$umed" bench op 2,8,3,5 1,9,17,16 --n 3 -q
holds out "conv_bwd_weight    1,   9,   17,   16"
last | grep -Eq 'geometric mean over 6 convolutions, .* share of the peak: [0-9.]+x$' || fail "last line"
for algo in direct winograd; do
    expect 0 "$umed" bench op 1,9,17,16 --n 1 -q --set conv.algo=$algo
done

# Every pass is checked and told; what is too small to count is not in the mean. Activations of 4 MiB, images of 0.2.
expect 0 "$umed" bench pass 1,6,3 1,128,64 --n 1 -q
same "$(grep -c "small: not counted$" out)" "$((29 + 12))" "passes that are too small"
last | grep -Eq 'geometric mean over 17 passes, .* share of the triad: [0-9.]+x$' || fail "last line"
tail -n 2 out | head -n 1 | grep -Eq '^slowest: [a-z_:+]+ 1,128,64: [0-9.]+x$' || fail "the slowest pass"
# Whatever a step does outside products, and more than once per channel or image, is measured.
for model in unet umed; do
    "$umed" bench step --dry-run --backend cuda --model $model --size 32 --batch 2 | awk '$5 ~ /^[0-9.]+$/ && $2 ~ /^[0-9]+$/ { print $1 }' >ops
    [ "$(wc -l <ops)" -gt 15 ] || fail "ops of a step of $model"
    grep -Ev '^(conv|convt)_|^(all_reduce|bn_coef|bn_bwd_param|batch_sum|seg_loss|step)$' ops | while read -r op; do
        grep -Eq "^$op(:image)? " out || fail "$op of $model is not measured"
    done || exit 1
done
expect 64 "$umed" bench pass 2,8,3; holds err "every pass over these shapes is below 4 MiB"
expect 64 "$umed" bench pass 2,8,3,4; holds err "'2,8,3,4' is not a shape: IMAGES,SIDE,CHANNELS, as in 16,64,32"
expect 64 "$umed" bench step 2,8,3; holds err "unexpected argument '2,8,3': \`umed bench step\` takes --size and --batch"

expect 0 "$umed" bench op 2,8,3,5 --n 3 -q --peer onednn
holds out "a second, always"
same "$(cat args)" "conv 1 conv_bwd_weight:2,8,8,3,5,3" "what the peer was asked to do"
same "$(grep -c run asked)" 12 "three rounds and one to warm up, three times"
last | grep -Eq 'onednn: [0-9.]+x$' || fail "last line"

expect 0 "$umed" bench step --size 16 --batch 2 --channels 1 --set model.base_width=1 --n 2 -q --peer onednn
holds out "a second, always"
holds out "resident 3000 MB at its highest, 1000 MB before"
last | grep -Eq 'umed against onednn, median of 2 interleaved steps: [0-9.]+x$' || fail "last line"
same "$(wc -w <args)" "$((2 + 19 + 18 + 19))" "every convolution of a U-Net"
expect 0 "$umed" bench step --model umed --size 16 --batch 2 --set model.base_width=1 --set umed.gen.base_width=1 --n 1 -q
holds out "umed, 3 channels, 16x16, batch 2"

# Steps of projected gradients, alone and beside a peer.
expect 0 "$umed" bench pgd --size 16 --batch 2 --set model.base_width=2 --n 1 -q
last | grep -Eq 'share of the multiply-add peak, median of 1 turns of 10 steps: [0-9.]+x$' || fail "last line"
mv peers/pytorch peers/pytorch.kept
cp peers/onednn peers/pytorch
expect 0 "$umed" bench pgd --size 16 --batch 2 --channels 1 --set model.base_width=2 --n 2 -q --peer pytorch
same "$(cat args)" "pgd:10 1 unet 2 16 2 1" "what the peer was asked to do"
last | grep -Eq 'umed against pytorch, median of 2 interleaved turns of 10 steps: [0-9.]+x$' || fail "last line"
mv peers/pytorch.kept peers/pytorch
expect 64 "$umed" bench pgd --model vgg16_bn --size 32;  holds err "vgg16_bn classifies"
expect 64 "$umed" bench pgd --model umed;                holds err "unknown model"
expect 64 "$umed" bench pgd --peer onednn;               holds err "compares with --peer pytorch"

expect 64 "$umed" bench step --size 16 --batch 2 --set model.base_width=1 --peer pytorch; holds err "no library here"
holds err "the peer pytorch left without an answer"
rm peers/pytorch
expect 64 "$umed" bench step --size 16 --batch 2 --set model.base_width=1 --peer pytorch; holds err "there is no peer pytorch"
# The cost of a step on a device needs none. A U-Net of full width at 224 has 73.75 GFLOP forward per image (transposed convolutions).
expect 0 "$umed" bench step --dry-run --backend cuda --precision bf16 --size 224 --batch 32 --set model.base_width=64
holds out "conv_bwd_weight       19      2255.0      5319.0"
last | grep -Eq '^memory: activations [0-9]+ MB' || fail "last line"
same "$(awk '$1 == "step" { print $3 }' out)" 7075.1 "GFLOP of a step"
bytes() { "$umed" bench step --dry-run --backend cuda --precision "$1" --size 32 --batch 2 --set model.base_width=16 | awk '$1 == "step" { print $4 }'; }
[ "$(bytes fp32)" = "$(bytes tf32)" ] || fail "tf32 moves as much as fp32"
awk "BEGIN { exit !($(bytes bf16) < 0.8 * $(bytes fp32)) }" || fail "bf16 moves less"
expect 64 "$umed" bench op --dry-run;       holds err "bench step"
expect 64 "$umed" bench op --peer caffe;    holds err "one of: none pytorch onednn"
expect 64 "$umed" bench ops;                holds err "one of: op pass step comm pgd"
expect 64 "$umed" bench op 1,2,3;           holds err "'1,2,3' is not a shape"
expect 64 "$umed" bench comm;               holds err "mpirun -np 2"
expect 64 "$umed" bench step 1,2,3,4;       holds err "unexpected argument"
expect 64 "$umed" bench step --model unett; holds err "did you mean"
