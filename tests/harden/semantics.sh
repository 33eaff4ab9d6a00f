# One test for each mistake in meaning, with the text that tells of it.
. "$(dirname "$0")/common.sh"

expect 0 "$umed" synth --n 12 --size 32 -q -o data.h5
expect 0 "$umed" export data.h5 -q -o png
expect 0 "$umed" synth --n 12 --size 48 --channels 3 -q -o other.h5
expect 0 "$umed" export other.h5 -q -o big
first=phantom-00000

# broken NAME: a fresh copy of the pictures, in $dir
broken() {
    dir=$1
    cp -r png "$dir"
}
import() { expect "$1" "$umed" import "$dir" --size 0 -o "$dir.h5"; }

broken mask_size;    cp big/masks/$first.png $dir/masks/;             import 65
holds err "$dir/masks/$first.png has 48 x 48 pixels but its image $dir/images/$first.png has 32 x 32"
broken mask_values;  cp png/images/$first.png $dir/masks/;            import 0
holds err "1 masks hold other values than black and white (first: $dir/masks/$first.png); above half of 255 counts as foreground"
broken missing_mask; rm $dir/masks/$first.png;                        import 65
holds err "1 of 12 images have no mask: $first"
broken missing_image; rm $dir/images/$first.png;                      import 65
holds err "1 masks belong to no image: $first.png"
broken twice;        cp $dir/images/$first.png $dir/images/$first.jpg; import 65
holds err "two images have the id '$first'"
broken channels;     cp big/images/$first.png $dir/images/; cp big/masks/$first.png $dir/masks/
expect 0 "$umed" import $dir --size 32 -o $dir.h5
holds err "1 of 12 images have colour (first: $first), imported with 3 channels (data.channels)"
expect 65 "$umed" import $dir --size 0 -o unequal.h5
holds err "has 32 x 32 pixels but $dir/images/$first.png has 48 x 48; set data.size to resize them"
expect 65 "$umed" exploit --data channels.h5 --test data.h5 -o r.h5
holds err "channels.h5 holds 32x32x3 images of 8 bit, data.h5 32x32x1 of 8 bit; import both alike"

# an empty mask: one is told, all are refused
cat >empty.py <<'EOF'
import struct, sys, zlib
def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
head = struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0)
for path in sys.argv[1:]:
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(33 * 32))) + chunk(b"IEND", b""))
EOF
if command -v python3 >/dev/null; then
    broken empty_one; python3 empty.py $dir/masks/$first.png;         import 0
    holds err "1 of 12 masks are empty: $first"
    broken empty_all; python3 empty.py $dir/masks/*.png;              import 65
    holds err "all 12 masks are empty: their brightest grey level is 0"
else
    echo "note: empty masks are not tried, there is no python3"
fi

# the same pixels on both sides, under another name
cp -r png renamed
for side in images masks; do (cd renamed/$side && for f in *; do mv "$f" "x-$f"; done); done
expect 0 "$umed" import renamed --size 0 -q -o renamed.h5
expect 65 "$umed" exploit --data renamed.h5 --test data.h5 -o r.h5
grep -qE 'training image "x-phantom-[0-9]+" has the same pixels as test image "phantom-[0-9]+"; take one of them out' err || fail "leak"

# settings: unknown key, wrong type, out of range, each in a file and on the command line
refuse() {
    printf '%b' "$1" >bad.cfg
    expect 64 "$umed" protect -c bad.cfg --data data.h5 -o r.h5
    holds err "$2"
}
refuse 'umed: {\n  epps = 0.1;\n};\n' 'unknown key "umed.epps" at bad.cfg:2; did you mean "umed.eps"?'
refuse 'umedd: { eps = 0.1; };\n' 'unknown key "umedd.eps" at bad.cfg:1; did you mean "umed.eps"?'
refuse 'umed: {\n\n  batch = "many";\n};\n' 'umed.batch = "many" at bad.cfg:3: expected an integer'
refuse 'umed: {\n  eps = 7.0;\n};\n' 'umed.eps = 7 at bad.cfg:2: must be in [0, 1]'
refuse 'umed: { contour: { mode = "inside"; }; };\n' \
    'umed.contour.mode = "inside" at bad.cfg:1: unknown choice; one of: straddle inner outer canny'
refuse 'umed: { eps = ;\n' 'bad.cfg:1: syntax error'
expect 64 "$umed" protect --data data.h5 --set umed.epps=1 -o r.h5
holds err 'unknown key "umed.epps" at --set; did you mean "umed.eps"?'
expect 64 "$umed" protect --data data.h5 --set umed.batch=0 -o r.h5
holds err 'umed.batch = 0 at --set: must be in [1, 65536]'
expect 64 "$umed" protect --data data.h5 --set umed.batch=ten -o r.h5
holds err 'umed.batch = "ten" at --set: expected an integer'
expect 64 "$umed" protect --data data.h5 --set model.up=bilinear --set model.base_width=3 --set umed.batch=4 --threads 1 -o r.h5
holds err "which must be even, not 3"
expect 64 "$umed" protect --data data.h5 --protector umde -o r.h5;          holds err "did you mean 'umed'?"
expect 64 "$umed" exploit --data data.h5 --test data.h5 --model unett -o r.h5; holds err "did you mean 'unet'?"
[ ! -e r.h5 ] || fail "r.h5 was written"
