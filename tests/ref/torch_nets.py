"""U-Net and CDC U-Net in PyTorch, with umed's tensor names, and the segmentation loss: the oracle of the scripts beside this file.

Widths are w * (1, 2, 4, 8, 16); `w` = 64 is full scale. Input [N, in_ch, H, W] with H and W multiples of 16; output
[N, out_ch, H, W] logits. Every 3x3 convolution is padded by 1 and has no bias; BatchNorm has eps 1e-5 and momentum 0.1.
"""

import hashlib
import math

import torch
from torch import nn
from torch.nn import functional

ARCHS = ("unet", "cdc_unet")
VARIANT = "convT,nobias"
DICE_SMOOTH = 1e-5

# (arch, in_ch, out_ch) -> trainable parameters at w = 64
FULL_SCALE_PARAMETERS = {
    ("unet", 1, 1): 31036481,
    ("unet", 3, 1): 31037633,
    ("cdc_unet", 1, 1): 49874561,
    ("cdc_unet", 3, 3): 49876995,
}


class CdcConv(nn.Conv2d):
    """Central difference convolution with two kernels (UMed eq. 3), computed as one convolution with the merged kernel K:
    K(d) = w_v(d) + w_c(d) off the centre, K(0) = w_v(0) - sum over d != 0 of w_c(d). `weight` = w_v, `weight_cd` = w_c; the
    centre of w_c has no effect and zero gradient."""

    def __init__(self, in_ch, out_ch):
        super().__init__(in_ch, out_ch, 3, padding=1, bias=False)
        self.weight_cd = nn.Parameter(torch.empty_like(self.weight))
        nn.init.kaiming_uniform_(self.weight_cd, a=math.sqrt(5))
        with torch.no_grad():
            self.weight_cd.mul_(0.25)

    def forward(self, x):
        centre = torch.zeros(3, 3, dtype=x.dtype)
        centre[1, 1] = 1
        around = self.weight_cd * (1 - centre)
        kernel = self.weight + around - around.sum((2, 3), keepdim=True) * centre
        return functional.conv2d(x, kernel, padding=1)


def plain_conv(in_ch, out_ch):
    return nn.Conv2d(in_ch, out_ch, 3, padding=1, bias=False)


class DoubleConv(nn.Module):
    def __init__(self, conv, in_ch, out_ch):
        super().__init__()
        self.double_conv = nn.Sequential(conv(in_ch, out_ch), nn.BatchNorm2d(out_ch), nn.ReLU(),
                                         conv(out_ch, out_ch), nn.BatchNorm2d(out_ch), nn.ReLU())

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, conv, in_ch, out_ch):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(conv, in_ch, out_ch))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, in_ch, out_ch):
        super().__init__()
        self.up = nn.ConvTranspose2d(in_ch, out_ch, 2, stride=2)
        self.conv = DoubleConv(plain_conv, in_ch, out_ch)

    def forward(self, x, skip):
        return self.conv(torch.cat([skip, self.up(x)], dim=1))


class Out(nn.Module):
    def __init__(self, in_ch, out_ch):
        super().__init__()
        self.conv = nn.Conv2d(in_ch, out_ch, 1)

    def forward(self, x):
        return self.conv(x)


class UNet(nn.Module):
    def __init__(self, arch, w, in_ch=1, out_ch=1):
        super().__init__()
        conv = {"unet": plain_conv, "cdc_unet": CdcConv}[arch]
        self.inc = DoubleConv(conv, in_ch, w)
        for i in range(1, 5):
            setattr(self, f"down{i}", Down(conv, w << (i - 1), w << i))
        for i in range(1, 5):
            setattr(self, f"up{i}", Up(w << (5 - i), w << (4 - i)))
        self.outc = Out(w, out_ch)

    def forward(self, x):
        skips = [self.inc(x)]
        for i in range(1, 5):
            skips.append(getattr(self, f"down{i}")(skips[-1]))
        x = skips.pop()
        for i in range(1, 5):
            x = getattr(self, f"up{i}")(x, skips.pop())
        return self.outc(x)


def segmentation_loss(logits, masks):
    """Mean BCE with logits + 1 - mean over images of (2 sum p y + s) / (sum p + sum y + s), s = 1e-5."""
    bce = functional.binary_cross_entropy_with_logits(logits, masks)
    p, y = torch.sigmoid(logits).flatten(1), masks.flatten(1)
    dice = (2 * (p * y).sum(1) + DICE_SMOOTH) / (p.sum(1) + y.sum(1) + DICE_SMOOTH)
    return bce + 1 - dice.mean()


def train_step(net, optimiser, images, masks):
    """One step; returns (loss, logits) before the update. The gradients stay in the parameters."""
    optimiser.zero_grad()
    logits = net(images)
    loss = segmentation_loss(logits, masks)
    loss.backward()
    optimiser.step()
    return loss.detach(), logits.detach()


def tensor_sha256(state):
    """SHA-256 over the little-endian bytes of all tensors in name order. state: {name: numpy array}."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(state[name].astype(state[name].dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
