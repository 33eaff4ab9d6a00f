#!/usr/bin/env python3
"""The peer pytorch: the same work by PyTorch, on the CPU in NCHW, on a GPU in channels_last with cudnn.benchmark. The protocol is that of
src/bench/peer.h.

usage: pytorch step THREADS MODEL WIDTH SIDE BATCH CHANNELS [cuda PRECISION]     MODEL: of torch_nets.ARCHS; umed: a generator step of UMed
       pytorch pgd:K THREADS MODEL WIDTH SIDE BATCH CHANNELS [cuda PRECISION]
                     K steps of projected gradients a round; the answer is the time of one
       UMED_PEER_COMPILE=1 in the environment: torch.compile (max-autotune) instead of eager execution
       pytorch conv THREADS OP:N,H,W,C,K,TAPS                    OP: conv_fwd, conv_bwd_data, conv_bwd_weight
Which PyTorch: that of the first python3 on PATH.
"""

import contextlib
import os
import sys
import time

try:
    import torch
except ImportError as error:
    sys.exit(f"pytorch: {sys.executable} has no PyTorch: {error}")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import torch_nets


def peak_bytes():
    """Of this program alone; ru_maxrss would count the process that started it. On a GPU: of the device, without products."""
    if ON_GPU:
        return max(torch.cuda.max_memory_allocated(), peak_before_products)
    with open("/proc/self/status", encoding="ascii") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


PRODUCT, PRODUCTS = 8192, 10
BALL, BALL_STEP = 8 / 255, 2 / 255
peak_before_products = 0
ON_GPU, PRECISION = len(sys.argv) > 9 and sys.argv[8] == "cuda", sys.argv[9] if len(sys.argv) > 9 else "fp32"


def prepare_gpu():
    torch.set_default_device("cuda")
    torch.backends.cudnn.benchmark = True
    tf32 = PRECISION != "fp32"
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32


def laid_out(net_or_images):
    """In the order of memory that suits the device; networks compiled when asked."""
    if not ON_GPU:
        return net_or_images
    out = net_or_images.to(memory_format=torch.channels_last)
    if os.environ.get("UMED_PEER_COMPILE") and isinstance(out, torch.nn.Module):
        out = torch.compile(out, mode="max-autotune")
    return out


def arithmetic():
    return torch.autocast("cuda", dtype=torch.bfloat16, enabled=ON_GPU and PRECISION == "bf16") if ON_GPU else contextlib.nullcontext()


def adam(nets):
    parameters = [p for net in nets for p in net.parameters()]
    fused = {"fused": True} if int(torch.__version__.split(".")[0]) >= 2 else {}
    return torch.optim.Adam(parameters, lr=1e-4, betas=(0.9, 0.999), eps=1e-8, **fused)


def supervised_step(model, width, side, batch, channels):
    net = laid_out(torch_nets.make_net(model, width, channels, 1, side, dropout=0.1).train())
    optimiser = adam([net])
    images = laid_out(torch.rand(batch, channels, side, side))
    masks = (torch.rand(batch, 1, side, side) < 0.3).float()

    def run():
        optimiser.zero_grad(set_to_none=True)
        with arithmetic():
            logits = net(images)
        loss = torch_nets.segmentation_loss(logits.float(), masks)
        loss.backward()
        optimiser.step()

    return run


def generator_step(width, side, batch, channels):
    """Both generators through a frozen surrogate (batch statistics everywhere), as protect/umed_graph.c builds it."""
    contour = laid_out(torch_nets.UNet("cdc_unet", width, channels, channels).train())
    texture = laid_out(torch_nets.UNet("unet", width, channels, channels).train())
    surrogate = laid_out(torch_nets.UNet("unet", width, channels, 1).train().requires_grad_(False))
    optimiser = adam([contour, texture])
    images = laid_out(torch.rand(batch, channels, side, side))
    masks = (torch.rand(batch, 1, side, side) < 0.3).float()
    bounds = [torch.rand(batch, 1, side, side) * 4 / 255 for _ in range(2)]

    def run():
        optimiser.zero_grad(set_to_none=True)
        with arithmetic():
            raw = contour(images), texture(images)
        delta = bounds[0] * torch.tanh(raw[0].float()) + bounds[1] * torch.tanh(raw[1].float())
        with arithmetic():
            logits = surrogate((images + delta).clamp(0, 1))
        loss = torch_nets.segmentation_loss(logits.float(), masks)
        loss.backward()
        optimiser.step()

    return run


def gradient_steps(steps, model, width, side, batch, channels):
    """Images in their ball along the sign of the gradient, through a frozen network in evaluation; they stay where they are."""
    net = laid_out(torch_nets.make_net(model, width, channels, 1, side).eval().requires_grad_(False))
    images = laid_out(torch.rand(batch, channels, side, side))
    masks = (torch.rand(batch, 1, side, side) < 0.3).float()

    def run():
        moved = images.clone()
        for _ in range(steps):
            moved.requires_grad_(True)
            with arithmetic():
                logits = net(moved)
            (gradient,) = torch.autograd.grad(torch_nets.segmentation_loss(logits.float(), masks), moved)
            with torch.no_grad():
                moved = (images + (moved + BALL_STEP * gradient.sign() - images).clamp(-BALL, BALL)).clamp(0, 1)
        return moved

    return run


def product_rate():
    """Operations per second of matrix products in the precision of the work, whose memory does not count as that of the work."""
    global peak_before_products
    peak_before_products = peak_bytes()
    kind = torch.bfloat16 if PRECISION == "bf16" else torch.float32
    with torch.no_grad():
        a, b = (torch.randn(PRODUCT, PRODUCT, dtype=kind) for _ in range(2))
        out = a @ b
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(PRODUCTS):
            torch.matmul(a, b, out=out)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    del a, b, out  # the allocator keeps their memory, and what the work needs again
    torch.cuda.reset_peak_memory_stats()
    return 2 * PRODUCT**3 * PRODUCTS / seconds


def convolution(text):
    op, numbers = text.split(":")
    n, h, w, c, k, taps = (int(v) for v in numbers.split(","))
    x, weight, dy = torch.randn(n, c, h, w), torch.randn(k, c, taps, taps), torch.randn(n, k, h, w)
    if op == "conv_fwd":
        return lambda: torch.nn.functional.conv2d(x, weight, padding=taps // 2)
    wanted = [op == "conv_bwd_data", op == "conv_bwd_weight", False]
    pads = [taps // 2] * 2
    return lambda: torch.ops.aten.convolution_backward(dy, x, weight, None, [1, 1], pads, [1, 1], False, [0, 0], 1, wanted)


def main():
    what, threads = sys.argv[1], int(sys.argv[2])
    steps = int(what.removeprefix("pgd:")) if what.startswith("pgd:") else 1
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    if ON_GPU:
        prepare_gpu()
    before = peak_bytes()
    if what == "conv":
        with torch.no_grad():
            run = convolution(sys.argv[3])
    else:
        model, sizes = sys.argv[3], [int(v) for v in sys.argv[4:8]]
        if model not in torch_nets.ARCHS + ("umed",):
            sys.exit(f"pytorch: no network {model} here")
        if what.startswith("pgd:"):
            run = gradient_steps(steps, model, *sizes)
        else:
            run = generator_step(*sizes) if model == "umed" else supervised_step(model, *sizes)
    if ON_GPU:
        how = "compiled" if os.environ.get("UMED_PEER_COMPILE") else "eager"
        print(f"ready PyTorch {torch.__version__}, {torch.cuda.get_device_name()}, {PRECISION}, channels_last, {how}", flush=True)
    else:
        print(f"ready PyTorch {torch.__version__}, {torch.get_num_threads()} threads, NCHW, oneDNN "
              f"{'on' if torch.backends.mkldnn.is_available() else 'off'}", flush=True)
    for line in sys.stdin:
        if line == "run\n":
            start = time.perf_counter()
            if what == "conv":
                with torch.no_grad():
                    run()
            else:
                run()
            if ON_GPU:
                torch.cuda.synchronize()
            print(f"{(time.perf_counter() - start) / steps:.9f}", flush=True)
        elif line == "product\n":
            if not ON_GPU:
                sys.exit("pytorch: products are measured on a GPU")
            print(f"{product_rate():.6e}", flush=True)
        else:
            print(peak_bytes(), before, flush=True)


main()
