#!/usr/bin/python3
"""Checkpoints between umed and PyTorch, in both directions.

    torch_roundtrip.py load CKPT.h5 LOGITS.h5 DATA.h5
        builds the network that CKPT's root attributes name, loads /state_dict strictly, computes eval-mode logits of DATA's
        images and compares them with /logits of LOGITS. One line on stdout; exit 0 when the largest difference is below 1e-4 of
        the largest logit, 1 when not or when a file is not as it must be.
    torch_roundtrip.py save CKPT.h5 LOGITS.h5 DATA.h5 --arch unet --w 2 --seed 1
        trains a PyTorch-initialised network for a few steps on DATA, writes its checkpoint and its eval-mode logits.
    torch_roundtrip.py data DATA.h5 --n 4 --side 32 --seed 1
        writes a synthetic dataset: bright ellipses on noise, with their masks.

Checkpoint: root attributes format "ckpt-1", format_version, arch, w, s, in_ch, out_ch, variant, epoch, seed, sha256 (over the
tensors' bytes in name order), complete; one dataset per tensor in /state_dict under its PyTorch name, float32, num_batches_tracked
an int64 scalar.
Logits: /logits f32 [N,H,W]. Dataset: /images u8 or u16 [N,H,W,C], /masks u8 [N,H,W] of 0 and 1, /ids, /split; attribute
format "umed-dataset".
"""

import argparse
import os
import sys

import h5py
import numpy as np
import torch

from torch_nets import ARCHS, VARIANTS, make_net, tensor_sha256, train_step

TOLERANCE = 1e-4
TRAIN_STEPS = 20


class BadFile(Exception):
    pass


def require(condition, message):
    if not condition:
        raise BadFile(message)


def attribute(file, name, kind):
    require(name in file.attrs, f"{file.filename}: no root attribute '{name}'")
    value = file.attrs[name]
    return value.decode() if isinstance(value, bytes) else kind(value)


def open_finished(path, expected_format=None):
    file = h5py.File(path, "r")
    require(attribute(file, "complete", int) == 1, f"{path}: 'complete' is not 1")
    if expected_format:
        found = attribute(file, "format", str)
        require(found == expected_format, f"{path}: format is '{found}', expected '{expected_format}'")
    return file


def write_finished(path, fill):
    """Writes whole or not at all: PATH.part, completion mark last, rename."""
    try:
        with h5py.File(path + ".part", "w", libver="v110") as file:
            fill(file)
            file.attrs["complete"] = np.int64(1)
        os.replace(path + ".part", path)
    finally:
        if os.path.exists(path + ".part"):
            os.remove(path + ".part")


def read_images(path):
    """(images float32 [N,C,H,W] in 0..1, masks float32 [N,1,H,W])"""
    with open_finished(path) as file:
        pixels, masks = file["images"][()], file["masks"][()]
    require(pixels.ndim == 4 and pixels.dtype in (np.uint8, np.uint16), f"{path}: /images is {pixels.dtype} {pixels.shape}, "
            "expected u8 or u16 [N,H,W,C]")
    require(masks.shape == pixels.shape[:3], f"{path}: /masks is {masks.shape}, /images {pixels.shape}")
    images = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(masks[:, None].astype(np.float32))


def eval_logits(net, images):
    net.eval()
    with torch.no_grad():
        return net(images)[:, 0].numpy()


def read_checkpoint(path):
    with open_finished(path, "ckpt-1") as file:
        arch, variant = attribute(file, "arch", str), attribute(file, "variant", str)
        w, in_ch, out_ch, side = (attribute(file, name, int) for name in ("w", "in_ch", "out_ch", "s"))
        recorded = attribute(file, "sha256", str)
        state = {name: data[()] for name, data in file["state_dict"].items()}
    require(arch in ARCHS, f"{path}: arch '{arch}', expected one of {', '.join(ARCHS)}")
    expected = VARIANTS.get(arch, "plain")
    require(variant == expected, f"{path}: variant '{variant}', expected '{expected}'")
    require(out_ch == 1, f"{path}: out_ch {out_ch}, expected 1")
    for name, value in state.items():
        dtype = np.int64 if name.endswith(".num_batches_tracked") else np.float32
        require(value.dtype == dtype, f"{path}: {name} is {value.dtype}, expected {np.dtype(dtype)}")
    require(tensor_sha256(state) == recorded, f"{path}: attribute sha256 does not fit the tensors")
    net = make_net(arch, w, in_ch, out_ch, side)
    try:
        net.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()}, strict=True)
    except RuntimeError as error:
        raise BadFile(f"{path}: {' '.join(str(error).split())}") from error
    return net, f"{arch} w={w} {in_ch}->{out_ch}, {len(state)} tensors", in_ch


def load(args):
    net, what, in_ch = read_checkpoint(args.ckpt)
    images, _ = read_images(args.data)
    require(images.shape[1] == in_ch, f"{args.data}: {images.shape[1]} channels, the checkpoint takes {in_ch}")
    with open_finished(args.logits) as file:
        theirs = file["logits"][()]
    ours = eval_logits(net, images)
    require(theirs.shape == ours.shape and theirs.dtype == np.float32,
            f"{args.logits}: /logits is {theirs.dtype} {theirs.shape}, expected float32 {ours.shape}")
    scale, difference = float(np.abs(ours).max()), float(np.abs(ours - theirs).max())
    good = difference < TOLERANCE * scale
    print(f"{args.ckpt}: {what}: max difference {difference:.3g} of {scale:.3g}: {'ok' if good else 'DIFFERS'}")
    return 0 if good else 1


def save(args):
    torch.manual_seed(args.seed)
    images, masks = read_images(args.data)
    net = make_net(args.arch, args.w, images.shape[1], 1, images.shape[2])
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(TRAIN_STEPS):
        train_step(net, optimiser, images, masks)
    state = {name: value.numpy() for name, value in net.state_dict().items()}

    def fill_checkpoint(file):
        text = {"format": "ckpt-1", "format_version": "1.0", "arch": args.arch, "variant": VARIANTS.get(args.arch, "plain"),
                "sha256": tensor_sha256(state)}
        numbers = {"w": args.w, "s": images.shape[2], "in_ch": images.shape[1], "out_ch": 1, "epoch": TRAIN_STEPS,
                   "seed": args.seed}
        file.attrs.update({name: np.bytes_(value.encode()) for name, value in text.items()})
        file.attrs.update({name: np.int64(value) for name, value in numbers.items()})
        for name, value in state.items():
            file.create_dataset("state_dict/" + name, data=value)

    def fill_logits(file):
        file.attrs.update({"format": np.bytes_(b"logits"), "format_version": np.bytes_(b"1.0")})
        file.create_dataset("logits", data=eval_logits(net, images), chunks=(1, *images.shape[2:]), fletcher32=True)

    write_finished(args.ckpt, fill_checkpoint)
    write_finished(args.logits, fill_logits)
    print(f"{args.ckpt}: {args.arch} w={args.w}, {len(state)} tensors")
    return 0


def draw_blobs(rng, side):
    """One image u8 [side,side,1] and its mask: one or two ellipses, brighter than a noisy background."""
    y, x = np.mgrid[:side, :side]
    mask = np.zeros((side, side), dtype=np.uint8)
    for _ in range(rng.randint(1, 3)):
        (cy, cx), (ry, rx) = rng.uniform(0.3, 0.7, 2) * side, rng.uniform(0.1, 0.25, 2) * side
        mask |= (((y - cy) / ry)**2 + ((x - cx) / rx)**2 <= 1).astype(np.uint8)
    image = 70 + 90 * mask + rng.normal(0, 15, (side, side))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)[..., None], mask


def data(args):
    rng = np.random.RandomState(args.seed)
    images, masks = (np.stack(list(arrays)) for arrays in zip(*(draw_blobs(rng, args.side) for _ in range(args.n))))

    def fill(file):
        file.attrs.update({"format": np.bytes_(b"umed-dataset"), "format_version": np.bytes_(b"1.0")})
        for name, value in (("images", images), ("masks", masks)):
            file.create_dataset(name, data=value, chunks=(1, *value.shape[1:]), fletcher32=True)
        ids = [f"blob-{i:04d}".encode() for i in range(args.n)]
        file.create_dataset("ids", data=np.array(ids, dtype=h5py.string_dtype("utf-8", 9)), chunks=(args.n,), fletcher32=True)
        split = np.arange(args.n, dtype=np.uint8) == args.n - 1
        file.create_dataset("split", data=split.astype(np.uint8), chunks=(args.n,), fletcher32=True)

    write_finished(args.data, fill)
    print(f"{args.data}: {args.n} images {args.side}x{args.side}")
    return 0


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (load, save, data):
        sub = commands.add_parser(command.__name__)
        sub.set_defaults(run=command)
        for name in ("ckpt", "logits", "data") if command is not data else ("data",):
            sub.add_argument(name)
        if command is not load:
            sub.add_argument("--seed", type=int, default=1)
        if command is save:
            sub.add_argument("--arch", choices=ARCHS, default="unet")
            sub.add_argument("--w", type=int, default=2)
        if command is data:
            sub.add_argument("--n", type=int, default=4)
            sub.add_argument("--side", type=int, default=32)
    return parser.parse_args()


def main():
    args = parse()
    torch.set_num_threads(1)
    try:
        return args.run(args)
    except (BadFile, OSError, KeyError) as error:
        print(f"torch_roundtrip.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
