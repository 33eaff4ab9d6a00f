"""Prints pillow_resize.txt: what Pillow's bilinear resize gives for a pattern that the test rebuilds.

Each block: "resize H W H_OUT W_OUT BITS", then the float result (mode F, exact to about 1e-4) in rows, then for 8 bits a line "L" and
Pillow's own 8-bit result. Pattern: value i is the top BITS bits of (i + 1) * 2654435761 mod 2**32.
Run: python3 pillow_resize.py > pillow_resize.txt (Pillow and numpy; written with Pillow 13.0.0)
"""
import numpy as np
from PIL import Image

CASES = [(8, 8, 5, 5, 8), (5, 7, 9, 4, 8), (6, 6, 13, 13, 8), (16, 24, 3, 5, 8), (1, 9, 4, 4, 8), (9, 11, 6, 7, 16), (4, 4, 7, 3, 16)]


def pattern(n, bits):
    return (((np.arange(n, dtype=np.uint64) + 1) * 2654435761) % 2**32) >> np.uint64(32 - bits)


for h, w, h_out, w_out, bits in CASES:
    a = pattern(h * w, bits).reshape(h, w)
    print("resize", h, w, h_out, w_out, bits)
    f = np.asarray(Image.fromarray(a.astype(np.float32)).resize((w_out, h_out), Image.Resampling.BILINEAR))
    for row in f:
        print(" ".join(f"{v:.4f}" for v in row))
    if bits == 8:
        print("L")
        for row in np.asarray(Image.fromarray(a.astype(np.uint8)).resize((w_out, h_out), Image.Resampling.BILINEAR)):
            print(" ".join(str(v) for v in row))
