#!/usr/bin/python3
"""Writes torch_parity.txt: what PyTorch computes for two nano networks (w 8, side 32, one channel in and out, batch 3) from inputs
that a C program can rebuild bit for bit, so that our networks can be compared without PyTorch.

    torch_parity.py [-o FILE]        regenerate (deterministic; 1 thread)

If UMED_SHARED_DIR names a folder with spec/names/*.tsv, tensor names and shapes at w = 64 are checked against those lists too.
The format, the inputs and the training are described in FORMAT below, which also heads the fixture.
"""

import argparse
import os
import sys

import numpy as np
import torch

from torch_nets import ARCHS, FULL_SCALE_PARAMETERS, UNetPP, loss_of, make_net, train_step

FORMAT = """\
PyTorch {torch} on the CPU, 1 thread; made by tests/ref/torch_parity.py.

Networks: unet, cdc_unet (ten central difference convolutions in the encoder), unetpp (half as wide; unetpp_deep: the mean of the
losses of its four outputs), attention_unet, transunet (one unit per block, four layers, no dropout), w 8, side 32, 1 channel in,
1 out, batch 3, train mode, BatchNorm momentum 0.1 and eps 1e-5. From unetpp on without init, param, buffer and f32 gradients. Loss: mean BCE with logits + per-image Dice averaged over the batch, smooth 1e-5. Ten
Adam steps (lr 1e-3, betas 0.9 and 0.999, eps 1e-8, no weight decay) on the same batch; loss, logits and gradients are those
of step 1.

Lines, fields separated by one space, numbers as %.17g (single elements of an f32 tensor as %.9g):
  full NET PREC KIND NAME NUMEL v0 v1 ...                   every element (NUMEL <= 64)
  tensor NET PREC KIND NAME NUMEL L2 P0 .. P11 S0 .. S15    a sketch of a larger tensor
Elements are counted in C order of PyTorch's layout: convolution [out, in, kh, kw], transposed convolution [in, out, kh, kw],
images, masks and logits [n, channel, row, column].
  L2  = sqrt(sum t_i^2)
  P_k = sum_i s_k(i) t_i; s_k(i) = +1 where bit (i % 32) of word[(i / 32) % 4] of words(9, i / 128, k, 2) is 1, else -1
  S_j = t[(j * 2654435761 + 12345) mod NUMEL], 64-bit arithmetic
How far the numbers can be trusted: summing in another order (the batch permuted) moves the f64 losses by 7e-16, the state after ten
steps by 1e-13 (relative L2 per tensor) and eval_logits by 4e-15; f32 against f64 differs by 8e-8 in the loss, 7e-7 in a logit and
3e-6 in a gradient (relative L2 per tensor).
For a difference e of two tensors the mean of the twelve (P_k(a) - P_k(b))^2 estimates |e|^2 (standard error 41 %).
  NET   data (all networks' inputs), or a network
  PREC  f64, or f32: everything in float32 from inputs rounded once from float64
  KIND  images, masks: NAME `batch`;   init: a parameter before step 1
        loss: NAME `step1`;   losses: NAME `steps`, before each of the ten updates;   logits: NAME `step1`
        grad: a parameter's gradient at step 1;   param, buffer: parameters and BatchNorm buffers after ten steps
        eval_logits: NAME `step10`, eval mode, after ten steps

Inputs. words(seed, a, b, c) = Philox4x32-10 with key (seed, 0) and counter (a, b low 32, b high 32, c), that is um_rng_words with
purpose 0; unit(word) = (word >> 8) / 2^24. All in float64.
  parameter NAME, element i: u = unit(word[i % 4] of words(7, i / 4, fnv1a64(NAME), 0))
    weight or bias of a convolution or transposed convolution: (2u - 1) / sqrt(fan_in); weight_cd: that times 0.25
      fan_in = in*kh*kw of a convolution, in of a linear layer, out*kh*kw of a transposed one; a bias takes that of its weight
    a normalisation's weight 0.5 + u, bias u - 0.5; position_embeddings u - 0.5; running_mean 0, running_var 1
  image n, pixel p: floor(256 * unit(word[p % 4] of words(7, p / 4, n, 1))) / 255
  mask n, row i, column j: 1 where ((i - 15.5 - n) / (6 + n))^2 + ((j - 14.5 + n) / (9 - n))^2 <= 1, else 0"""

WIDTH, SIDE, BATCH, STEPS = 8, 32, 3, 10
INPUT_SEED, SKETCH_SEED = 7, 9
WHOLE_LIMIT, PROJECTIONS, SAMPLES = 64, 12, 16
LOW32 = np.uint64(0xFFFFFFFF)


def philox_words(seed, blocks, b, c):
    """um_rng_words(seed, 0, a, b, c) for a = 0 .. blocks-1; uint32 [blocks * 4]."""
    c0 = np.arange(blocks, dtype=np.uint64)
    c1, c2, c3 = (np.full(blocks, v, dtype=np.uint64) for v in (b & 0xFFFFFFFF, b >> 32, c))
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = ((p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0), p1 & LOW32,
                          (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1), p0 & LOW32)
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32).ravel()


def uniform(n, b, c):
    return (philox_words(INPUT_SEED, (n + 3) // 4, b, c)[:n] >> 8) / 2.0**24


def fnv1a64(text):
    value = 14695981039346656037
    for byte in text.encode():
        value = ((value ^ byte) * 1099511628211) & 0xFFFFFFFFFFFFFFFF
    return value


def initial_parameter(name, shapes):
    shape = shapes[name]
    u = uniform(int(np.prod(shape)), fnv1a64(name), 0).reshape(shape)
    if name.endswith("position_embeddings"):
        return u - 0.5
    weight_shape = shapes[name.rsplit(".", 1)[0] + ".weight"]
    if len(weight_shape) == 1:
        return 0.5 + u if name.endswith(".weight") else u - 0.5
    value = (2 * u - 1) / np.sqrt(float(np.prod(weight_shape[1:])))
    return value * 0.25 if name.endswith(".weight_cd") else value


def make_batch():
    pixels = SIDE * SIDE
    images = np.stack([np.floor(256 * uniform(pixels, n, 1)) / 255 for n in range(BATCH)]).reshape(BATCH, 1, SIDE, SIDE)
    i, j = np.mgrid[:SIDE, :SIDE]
    masks = np.stack([((i - 15.5 - n) / (6 + n))**2 + ((j - 14.5 + n) / (9 - n))**2 <= 1 for n in range(BATCH)])
    return images, masks[:, None].astype(np.float64)


def sketch_signs(numel):
    """[PROJECTIONS, numel] of +1.0 and -1.0."""
    signs = np.empty((PROJECTIONS, numel))
    for k in range(PROJECTIONS):
        words = philox_words(SKETCH_SEED, (numel + 127) // 128, k, 2).astype("<u4")
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")[:numel]
        signs[k] = 2.0 * bits - 1.0
    return signs


class Fixture:
    def __init__(self):
        self.lines = []
        self.signs = {}

    def add(self, net, prec, kind, name, tensor):
        element = "%.9g" if prec == "f32" else "%.17g"
        t = np.asarray(tensor, dtype=np.float64).ravel()
        assert np.isfinite(t).all(), (net, prec, kind, name)
        if t.size <= WHOLE_LIMIT:
            values = [element % v for v in t]
            record = "full"
        else:
            if t.size not in self.signs:
                self.signs[t.size] = sketch_signs(t.size)
            picked = t[[(j * 2654435761 + 12345) % t.size for j in range(SAMPLES)]]
            values = ["%.17g" % v for v in (np.linalg.norm(t), *(self.signs[t.size] @ t))] + [element % v for v in picked]
            record = "tensor"
        self.lines.append(" ".join([record, net, prec, kind, name, str(t.size), *values]))

    def write(self, path):
        header = ["# " + line if line else "#" for line in FORMAT.format(torch=torch.__version__).split("\n")]
        with open(path + ".part", "w", encoding="ascii") as file:
            file.write("\n".join(header + self.lines) + "\n")
        os.replace(path + ".part", path)


def make_network(arch, dtype):
    net = (UNetPP(WIDTH, deep=True) if arch == "unetpp_deep" else make_net(arch, WIDTH, side=SIDE)).to(dtype).train()
    shapes = {name: tuple(p.shape) for name, p in net.named_parameters()}
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(torch.from_numpy(initial_parameter(name, shapes)))
    return net


def brief(arch):
    return arch not in ("unet", "cdc_unet")


def add_first_step(fixture, arch, prec, net, loss, logits):
    fixture.add(arch, prec, "loss", "step1", loss)
    fixture.add(arch, prec, "logits", "step1", logits)
    if prec == "f64" or not brief(arch):
        for name, p in net.named_parameters():
            fixture.add(arch, prec, "grad", name, p.grad)


def record_f64(fixture, arch, images, masks):
    net = make_network(arch, torch.float64)
    for name, p in net.named_parameters():
        if not brief(arch):
            fixture.add(arch, "f64", "init", name, p.detach())
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    losses = []
    for step in range(STEPS):
        loss, logits = train_step(net, optimiser, images, masks)
        losses.append(loss.item())
        if step == 0:
            add_first_step(fixture, arch, "f64", net, loss, logits)
    fixture.add(arch, "f64", "losses", "steps", losses)
    if not brief(arch):
        for name, p in net.named_parameters():
            fixture.add(arch, "f64", "param", name, p.detach())
        for name, buffer in net.named_buffers():
            fixture.add(arch, "f64", "buffer", name, buffer)
    net.eval()
    with torch.no_grad():
        logits = net(images)
    fixture.add(arch, "f64", "eval_logits", "step10", logits[-1] if isinstance(logits, list) else logits)


def gradients(net, images, masks):
    loss, logits = loss_of(net, images, masks)
    loss.backward()
    return loss.detach(), logits.detach(), {name: p.grad.double() for name, p in net.named_parameters()}


def record_f32(fixture, arch, images, masks):
    net = make_network(arch, torch.float32)
    loss, logits, grads = gradients(net, images.float(), masks.float())
    add_first_step(fixture, arch, "f32", net, loss, logits)
    exact_loss, exact_logits, exact = gradients(make_network(arch, torch.float64), images, masks)
    worst = max(((grads[n] - exact[n]).norm() / exact[n].norm()).item() for n in exact)
    print(f"{arch}: f32 against f64: loss {abs(loss - exact_loss):.2g}, logits max {(logits - exact_logits).abs().max():.2g} of "
          f"{exact_logits.abs().max():.3g}, gradients relative L2 at most {worst:.2g}", file=sys.stderr)


def check_generator():
    """Known answers: Random123's philox4x32_10 for all-zero input, and the FNV reference value of "a"."""
    assert [hex(v) for v in philox_words(0, 1, 0, 0)] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
    assert fnv1a64("a") == 0xAF63DC4C8601EC8C


def check_full_scale():
    names = os.path.join(os.environ.get("UMED_SHARED_DIR", ""), "spec", "names")
    for (arch, in_ch, out_ch), expected in FULL_SCALE_PARAMETERS.items():
        net = make_net(arch, 64, in_ch, out_ch)
        count = sum(p.numel() for p in net.parameters())
        assert count == expected, f"{arch} {in_ch}->{out_ch}: {count} parameters, expected {expected}"
        stem = {"attention_unet": f"attunet_in{in_ch}", "transunet": "transunet"}.get(arch, f"{arch}_in{in_ch}")
        listing = os.path.join(names, stem + ".tsv")
        if os.path.exists(listing):
            check_names(net, listing)


def check_names(net, listing):
    parameters = {name for name, _ in net.named_parameters()}
    ours = {(("param" if name in parameters else "buffer"), name, "x".join(map(str, t.shape)))
            for name, t in net.state_dict().items()}
    with open(listing, encoding="utf-8") as file:
        theirs = {tuple(line.rstrip("\n").split("\t")) for line in file if not line.startswith("#")}
    assert ours == theirs, f"{listing}: {sorted(ours ^ theirs)[:8]}"
    print(f"{os.path.basename(listing)}: {len(ours)} names and shapes agree", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("-o", metavar="FILE", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_parity.txt"))
    output = parser.parse_args().o
    torch.set_num_threads(1)
    check_generator()
    check_full_scale()
    images, masks = make_batch()
    fixture = Fixture()
    fixture.add("data", "f64", "images", "batch", images)
    fixture.add("data", "f64", "masks", "batch", masks)
    for arch in (*ARCHS, "unetpp_deep"):
        record_f64(fixture, arch, torch.from_numpy(images), torch.from_numpy(masks))
        record_f32(fixture, arch, torch.from_numpy(images), torch.from_numpy(masks))
    fixture.write(output)
    print(f"{output}: {len(fixture.lines)} tensors, {os.path.getsize(output)} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
