"""U-Net and CDC U-Net in PyTorch, with umed's tensor names, and the segmentation loss: the oracle of the scripts beside this file.

Widths are w * (1, 2, 4, 8, 16); `w` = 64 is full scale. Input [N, in_ch, H, W] with H and W multiples of 16; output
[N, out_ch, H, W] logits. Every 3x3 convolution is padded by 1 and has no bias; BatchNorm has eps 1e-5 and momentum 0.1.
"""

import hashlib
import math

import torch
from torch import nn
from torch.nn import functional

ARCHS = ("unet", "cdc_unet", "unetpp", "attention_unet", "transunet")
VARIANTS = {"unet": "convT,nobias", "cdc_unet": "convT,nobias"}  # of the others: plain
DICE_SMOOTH = 1e-5

# (arch, in_ch, out_ch) -> trainable parameters at w = 64
FULL_SCALE_PARAMETERS = {
    ("unet", 1, 1): 31036481,
    ("unet", 3, 1): 31037633,
    ("cdc_unet", 1, 1): 49874561,
    ("cdc_unet", 3, 3): 49876995,
    ("unetpp", 1, 1): 9162753,
    ("unetpp", 3, 1): 9163329,
    ("attention_unet", 1, 1): 34877421,
    ("attention_unet", 3, 1): 34878573,
    ("transunet", 1, 1): 105275921,
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


class NestedBlock(nn.Module):
    def __init__(self, in_ch, out_ch):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(in_ch, out_ch, 3, padding=1), nn.BatchNorm2d(out_ch)
        self.conv2, self.bn2 = nn.Conv2d(out_ch, out_ch, 3, padding=1), nn.BatchNorm2d(out_ch)

    def forward(self, x):
        return functional.relu(self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x))))))


class UNetPP(nn.Module):
    """U-Net++ of width w / 2. Deep supervision leaves a list of four logits, the last of which counts."""

    def __init__(self, w, in_ch=1, out_ch=1, deep=False):
        super().__init__()
        width = [w // 2 << i for i in range(5)]
        for j in range(5):
            for i in range(5 - j):
                below = in_ch if i == 0 else width[i - 1]
                setattr(self, f"conv{i}_{j}", NestedBlock(below if j == 0 else j * width[i] + width[i + 1], width[i]))
        self.deep = deep
        for name in [f"final{j}" for j in range(1, 5)] if deep else ["final"]:
            setattr(self, name, nn.Conv2d(width[0], out_ch, 1))

    def forward(self, x):
        node = {}
        for diagonal in range(5):
            for j in range(diagonal + 1):
                i = diagonal - j
                if j > 0:
                    up = functional.interpolate(node[i + 1, j - 1], scale_factor=2, mode="bilinear", align_corners=True)
                    value = torch.cat([node[i, k] for k in range(j)] + [up], dim=1)
                else:
                    value = functional.max_pool2d(node[i - 1, 0], 2) if i else x
                node[i, j] = getattr(self, f"conv{i}_{j}")(value)
        if self.deep:
            return [getattr(self, f"final{j}")(node[0, j]) for j in range(1, 5)]
        return self.final(node[0, 4])


class Sequence(nn.Module):
    """`attribute` = a Sequential, so that names read PREFIX.attribute.N."""

    def __init__(self, attribute, *layers):
        super().__init__()
        self.attribute = attribute
        setattr(self, attribute, nn.Sequential(*layers))

    def forward(self, x):
        return getattr(self, self.attribute)(x)


def biased_block(in_ch, out_ch):
    layers = []
    for ch in (in_ch, out_ch):
        layers += [nn.Conv2d(ch, out_ch, 3, padding=1), nn.BatchNorm2d(out_ch), nn.ReLU()]
    return Sequence("conv", *layers)


class Gate(nn.Module):
    def __init__(self, ch, inner):
        super().__init__()
        self.W_g = nn.Sequential(nn.Conv2d(ch, inner, 1), nn.BatchNorm2d(inner))
        self.W_x = nn.Sequential(nn.Conv2d(ch, inner, 1), nn.BatchNorm2d(inner))
        self.psi = nn.Sequential(nn.Conv2d(inner, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, g, x):
        return x * self.psi(functional.relu(self.W_g(g) + self.W_x(x)))


class AttentionUNet(nn.Module):
    def __init__(self, w, in_ch=1, out_ch=1):
        super().__init__()
        for i in range(1, 6):
            setattr(self, f"Conv{i}", biased_block(in_ch if i == 1 else w << (i - 2), w << (i - 1)))
        for i in range(5, 1, -1):
            ch = w << (i - 2)
            setattr(self, f"Up{i}", Sequence("up", nn.Upsample(scale_factor=2), nn.Conv2d(2 * ch, ch, 3, padding=1),
                                             nn.BatchNorm2d(ch), nn.ReLU()))
            setattr(self, f"Att{i}", Gate(ch, ch // 2))
            setattr(self, f"Up_conv{i}", biased_block(2 * ch, ch))
        self.Conv_1x1 = nn.Conv2d(w, out_ch, 1)

    def forward(self, x):
        skips = []
        for i in range(1, 6):
            x = getattr(self, f"Conv{i}")(functional.max_pool2d(x, 2) if i > 1 else x)
            skips.append(x)
        for i in range(5, 1, -1):
            up, skip = getattr(self, f"Up{i}")(x), skips[i - 2]
            x = getattr(self, f"Up_conv{i}")(torch.cat([getattr(self, f"Att{i}")(up, skip), up], dim=1))
        return self.Conv_1x1(x)


class StandardConv(nn.Conv2d):
    """Weight-standardised convolution: per filter, biased variance, eps 1e-5."""

    def __init__(self, in_ch, out_ch, k, stride=1):
        super().__init__(in_ch, out_ch, k, stride=stride, padding=(k - 1) // 2, bias=False)

    def forward(self, x):
        var, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, unbiased=False)
        return functional.conv2d(x, (self.weight - mean) / torch.sqrt(var + 1e-5), None, self.stride, self.padding)


class ResUnit(nn.Module):
    def __init__(self, in_ch, mid, stride, groups):
        super().__init__()
        out_ch = 4 * mid
        self.conv1, self.gn1 = StandardConv(in_ch, mid, 1), nn.GroupNorm(groups, mid, eps=1e-6)
        self.conv2, self.gn2 = StandardConv(mid, mid, 3, stride), nn.GroupNorm(groups, mid, eps=1e-6)
        self.conv3, self.gn3 = StandardConv(mid, out_ch, 1), nn.GroupNorm(groups, out_ch, eps=1e-6)
        if stride != 1 or in_ch != out_ch:
            self.downsample, self.gn_proj = StandardConv(in_ch, out_ch, 1, stride), nn.GroupNorm(out_ch, out_ch)

    def forward(self, x):
        residual = self.gn_proj(self.downsample(x)) if hasattr(self, "downsample") else x
        y = functional.relu(self.gn1(self.conv1(x)))
        y = functional.relu(self.gn2(self.conv2(y)))
        return functional.relu(residual + self.gn3(self.conv3(y)))


def named(**modules):
    """A module that only holds others."""
    holder = nn.Module()
    for name, module in modules.items():
        setattr(holder, name, module)
    return holder


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x):
        n, tokens, dim = x.shape
        q, k, v = (layer(x).view(n, tokens, self.heads, -1).transpose(1, 2) for layer in (self.query, self.key, self.value))
        p = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(dim // self.heads), dim=-1)
        return self.out((p @ v).transpose(1, 2).reshape(n, tokens, dim))


class TransformerLayer(nn.Module):
    def __init__(self, dim, heads, dropout):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.attention_norm, self.ffn_norm = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.ffn = named(fc1=nn.Linear(dim, 4 * dim), fc2=nn.Linear(4 * dim, dim))
        self.attn = Attention(dim, heads)

    def forward(self, x):
        x = x + self.attn(self.attention_norm(x))
        return x + self.drop(self.ffn.fc2(self.drop(functional.gelu(self.ffn.fc1(self.ffn_norm(x))))))


def conv_relu(in_ch, out_ch):
    return nn.Sequential(nn.Conv2d(in_ch, out_ch, 3, padding=1, bias=False), nn.BatchNorm2d(out_ch), nn.ReLU())


class TransUNet(nn.Module):
    """TransUNet at width w (64: R50-ViT-B/16)."""

    def __init__(self, w, in_ch=1, out_ch=1, side=224, dropout=0.0):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        full, dim, heads = w >= 32, 12 * w, max(1, int(3 * w / 16 + 0.5))
        blocks = {}
        for b, units in enumerate((3, 4, 9) if full else (1, 1, 1)):
            mid = w << b
            entries = {f"unit{u + 1}": ResUnit(4 * mid if u else (w if b == 0 else 2 * mid), mid, 2 if b and u == 0 else 1, w // 2)
                       for u in range(units)}
            blocks[f"block{b + 1}"] = nn.Sequential()
            for name, unit in entries.items():
                blocks[f"block{b + 1}"].add_module(name, unit)
        hybrid = named(root=named(conv=StandardConv(3, w, 7, 2), gn=nn.GroupNorm(w // 2, w, eps=1e-6)), body=named(**blocks))
        embeddings = named(hybrid_model=hybrid, patch_embeddings=nn.Conv2d(16 * w, dim, 1))
        embeddings.position_embeddings = nn.Parameter(torch.zeros(1, (side // 16)**2, dim))
        layers = nn.ModuleList(TransformerLayer(dim, heads, dropout) for _ in range(12 if full else 4))
        self.transformer = named(embeddings=embeddings, encoder=named(layer=layers, encoder_norm=nn.LayerNorm(dim, eps=1e-6)))
        ups = [named(conv1=conv_relu(a, b), conv2=conv_relu(b, b))
               for a, b in ((16 * w, 4 * w), (8 * w, 2 * w), (3 * w, w), (w, w // 4))]
        self.decoder = named(conv_more=conv_relu(dim, 8 * w), blocks=nn.ModuleList(ups))
        self.segmentation_head = nn.Sequential(nn.Conv2d(w // 4, out_ch, 3, padding=1))

    def encode(self, x):
        e = self.transformer.embeddings
        h, body = e.hybrid_model, e.hybrid_model.body
        half = functional.relu(h.root.gn(h.root.conv(x)))
        block1 = body.block1(functional.max_pool2d(half, 3, 2))
        quarter = functional.pad(block1, (0, 1, 0, 1))
        eighth = body.block2(block1)
        tokens = e.patch_embeddings(body.block3(eighth))
        side = tokens.shape[2]
        t = self.drop(tokens.flatten(2).transpose(1, 2) + e.position_embeddings)
        for layer in self.transformer.encoder.layer:
            t = layer(t)
        t = self.transformer.encoder.encoder_norm(t)
        return t.transpose(1, 2).reshape(x.shape[0], -1, side, side), (eighth, quarter, half)

    def forward(self, x):
        x, skips = self.encode(x.expand(-1, 3, -1, -1))
        x = self.decoder.conv_more(x)
        for i, block in enumerate(self.decoder.blocks):
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = torch.cat([x, skips[i]], dim=1) if i < 3 else x
            x = block.conv2(block.conv1(x))
        return self.segmentation_head(x)


def make_net(arch, w, in_ch=1, out_ch=1, side=224, dropout=0.0):
    if arch == "transunet":
        return TransUNet(w, in_ch, out_ch, side, dropout)
    others = {"unetpp": UNetPP, "attention_unet": AttentionUNet}
    return others[arch](w, in_ch, out_ch) if arch in others else UNet(arch, w, in_ch, out_ch)


def segmentation_loss(logits, masks):
    """Mean BCE with logits + 1 - mean over images of (2 sum p y + s) / (sum p + sum y + s), s = 1e-5."""
    bce = functional.binary_cross_entropy_with_logits(logits, masks)
    p, y = torch.sigmoid(logits).flatten(1), masks.flatten(1)
    dice = (2 * (p * y).sum(1) + DICE_SMOOTH) / (p.sum(1) + y.sum(1) + DICE_SMOOTH)
    return bce + 1 - dice.mean()


def loss_of(net, images, masks):
    """(loss, last logits); several logits have the mean of their losses."""
    logits = net(images)
    heads = logits if isinstance(logits, list) else [logits]
    return sum(segmentation_loss(head, masks) for head in heads) / len(heads), heads[-1]


def train_step(net, optimiser, images, masks):
    """One step; returns (loss, last logits) before the update. The gradients stay in the parameters."""
    optimiser.zero_grad()
    loss, logits = loss_of(net, images, masks)
    loss.backward()
    optimiser.step()
    return loss.detach(), logits.detach()


def tensor_sha256(state):
    """SHA-256 over the little-endian bytes of all tensors in name order. state: {name: numpy array}."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(state[name].astype(state[name].dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
