#!/usr/bin/python3
"""TransUNet's pretrained weights seen by NumPy: an independent writer and reader of what umed loads.

    npz_check.py LOAD_NPZ

For stored and compressed archives of R50-ViT-B/16's layout at small widths: writes random arrays with numpy.savez, lets LOAD_NPZ
turn them into a checkpoint, and compares /state_dict with the arrays turned by NumPy (the reference's load_from: HWIO to OIHW by
transpose([3, 2, 0, 1]), kernels viewed as matrices and transposed, position grids by scipy.ndimage.zoom of order 1).
"""

import os
import subprocess
import sys
import tempfile

import h5py
import numpy as np
from scipy import ndimage

HYBRID = "transformer.embeddings.hybrid_model."
ATTENTION, MLP = "MultiHeadDotProductAttention_1/", "MlpBlock_3/"


def sizes(w):
    full = w >= 32
    return (3, 4, 9) if full else (1, 1, 1), 12 if full else 4, 12 * w, max(1, int(3 * w / 16 + 0.5))


def shapes(w, grid):
    """{key: shape} of the archive."""
    units, layers, dim, heads = sizes(w)
    out = {"conv_root/kernel": (7, 7, 3, w), "embedding/kernel": (1, 1, 16 * w, dim), "embedding/bias": (dim,),
           "Transformer/posembed_input/pos_embedding": (1, 1 + grid * grid, dim), "cls": (1, 1, dim), "head/kernel": (dim, 7)}
    norms = {"gn_root": (1, 1, 1, w), "Transformer/encoder_norm": (dim,)}
    for b, count in enumerate(units):
        mid = w << b
        for u in range(count):
            prefix, before = f"block{b + 1}/unit{u + 1}/", 4 * mid if u else (w if b == 0 else 2 * mid)
            for n, shape in enumerate(((1, 1, before, mid), (3, 3, mid, mid), (1, 1, mid, 4 * mid)), 1):
                out[f"{prefix}conv{n}/kernel"], norms[f"{prefix}gn{n}"] = shape, (1, 1, 1, shape[3])
            if u == 0:
                out[prefix + "conv_proj/kernel"], norms[prefix + "gn_proj"] = (1, 1, before, 4 * mid), (1, 1, 1, 4 * mid)
    for i in range(layers):
        prefix = f"Transformer/encoderblock_{i}/"
        norms[prefix + "LayerNorm_0"] = norms[prefix + "LayerNorm_2"] = (dim,)
        for part in ("query", "key", "value"):
            out[f"{prefix}{ATTENTION}{part}/kernel"], out[f"{prefix}{ATTENTION}{part}/bias"] = (dim, heads, dim // heads), (heads, dim // heads)
        out[f"{prefix}{ATTENTION}out/kernel"], out[f"{prefix}{ATTENTION}out/bias"] = (heads, dim // heads, dim), (dim,)
        for n, (a, b) in enumerate(((dim, 4 * dim), (4 * dim, dim))):
            out[f"{prefix}{MLP}Dense_{n}/kernel"], out[f"{prefix}{MLP}Dense_{n}/bias"] = (a, b), (b,)
    for key, shape in norms.items():
        out[key + "/scale"] = out[key + "/bias"] = shape
    return out


def our_name(key):
    """PyTorch name of an array; None: not used."""
    if key.startswith(("cls", "head/", "pre_logits/")):
        return None
    stem, leaf = key.rsplit("/", 1) if "pos_embedding" not in key else (key, "")
    suffix = {"kernel": ".weight", "scale": ".weight", "bias": ".bias", "": ""}[leaf]
    if "pos_embedding" in key:
        return "transformer.embeddings.position_embeddings"
    if stem == "embedding":
        return "transformer.embeddings.patch_embeddings" + suffix
    if stem.startswith("Transformer/encoderblock_"):
        index, part = stem[len("Transformer/encoderblock_"):].split("/", 1)
        part = part.replace("LayerNorm_0", "attention_norm").replace("LayerNorm_2", "ffn_norm").replace(ATTENTION, "attn.")
        part = part.replace(MLP + "Dense_0", "ffn.fc1").replace(MLP + "Dense_1", "ffn.fc2")
        return f"transformer.encoder.layer.{index}.{part}{suffix}"
    if stem == "Transformer/encoder_norm":
        return "transformer.encoder.encoder_norm" + suffix
    if stem in ("conv_root", "gn_root"):
        return HYBRID + "root." + stem.split("_")[0] + suffix
    return HYBRID + "body." + stem.replace("/", ".").replace("conv_proj", "downsample") + suffix


def turned(key, value, tokens):
    if "pos_embedding" in key:
        table, grid, side = value[0, 1:], int(np.sqrt(value.shape[1] - 1)), int(np.sqrt(tokens))
        if grid != side:
            table = ndimage.zoom(table.reshape(grid, grid, -1), (side / grid, side / grid, 1), order=1).reshape(tokens, -1)
        return table[None]
    if key.endswith("/kernel") and value.ndim == 4:
        return value.transpose(3, 2, 0, 1)
    if key.endswith("/kernel"):
        rows = value.shape[0] * value.shape[1] if key.endswith("out/kernel") else value.shape[0]
        return value.reshape(rows, -1).T
    return value.ravel()


def check(tool, folder, w, side, grid, save, dtype):
    rng = np.random.RandomState(w + grid)
    arrays = {key: rng.standard_normal(shape).astype(dtype) for key, shape in shapes(w, grid).items()}
    npz, model = os.path.join(folder, "weights.npz"), os.path.join(folder, "model.h5")
    save(npz, **arrays)
    subprocess.run([tool, npz, str(w), str(side), model], check=True)
    compared = 0
    with h5py.File(model, "r") as file:
        state = file["state_dict"]
        for key, value in arrays.items():
            if our_name(key) is None:
                continue
            want, got = turned(key, value.astype(np.float64), (side // 16)**2), state[our_name(key)][()]
            if want.shape != got.shape or np.abs(want - got).max() > 1e-6:
                raise SystemExit(f"npz_check.py: {key} -> {our_name(key)}: {want.shape} against {got.shape}, or other values")
            compared += 1
        encoder = [name for name in state if name.startswith("transformer.")]
    if compared != len(encoder):
        raise SystemExit(f"npz_check.py: {compared} arrays for {len(encoder)} tensors")
    os.remove(model)
    print(f"w {w}, side {side}, grid {grid}, {save.__name__} {np.dtype(dtype)}: {compared} tensors agree")


def main():
    with tempfile.TemporaryDirectory() as folder:
        for case in ((8, 32, 2, np.savez, "f4"), (8, 64, 3, np.savez_compressed, "f4"), (8, 96, 14, np.savez, "f2"),
                     (32, 224, 14, np.savez_compressed, "f8")):
            check(sys.argv[1], folder, *case)


if __name__ == "__main__":
    main()
