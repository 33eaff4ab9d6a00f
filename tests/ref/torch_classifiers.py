#!/usr/bin/python3
"""Writes torch_classifiers.txt: what PyTorch computes for the five classifiers at nano size, from inputs that a C program can rebuild
bit for bit (torch_parity.py, whose format this is).

    torch_classifiers.py [-o FILE]        regenerate (deterministic; 1 thread)

The networks are written out here under torchvision's names (torchvision itself is not needed); with UMED_SHARED_DIR set, names and shapes at
full size are checked against spec/names/*.tsv.
"""

import argparse
import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import torch_parity as tp

CLASSES = 4
STEPS = {"resnet18": 5, "resnet50": 1, "densenet121": 1, "vgg16_bn": 5, "vit_b16": 5}
WIDTHS = {"resnet18": 4, "resnet50": 4, "densenet121": 4, "vgg16_bn": 4, "vit_b16": 2}
FORMAT = """\
PyTorch {torch} on the CPU, 1 thread; made by tests/ref/torch_classifiers.py. Format and inputs: torch_parity.txt.

Networks: resnet18, resnet50, densenet121, vgg16_bn (global average pooling and one linear layer) at w 4, vit_b16 at w 2 (hidden 24), for
4 classes. Images: those of torch_parity.txt three times as channels, batch 3, classes 1, 2, 0; train mode. SGD steps (five; one of resnet50 and densenet121, whose last stages normalise three values each here, so that more would compare
rounding; lr 1e-6, momentum
0.9, weight decay 1e-4) on the same batch.
  KIND  loss: cross entropy at step 1;  logits: [n, class] at step 1;  losses: before each update
        unit_grads: gradients of step 1 in bytewise order of names, each divided by its norm (0 where that is below 1e-10)
        grad_norms: those norms;  state: parameters after the steps in that order;  eval_logits: after the steps, eval mode"""


class Basic(nn.Module):
    def __init__(self, cin, mid, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(cin, mid, 3, stride, 1, bias=False), nn.BatchNorm2d(mid)
        self.conv2, self.bn2 = nn.Conv2d(mid, mid, 3, 1, 1, bias=False), nn.BatchNorm2d(mid)
        self.downsample = shortcut(cin, mid, stride)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if self.downsample is not None else x))


class Bottleneck(nn.Module):
    def __init__(self, cin, mid, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(cin, mid, 1, bias=False), nn.BatchNorm2d(mid)
        self.conv2, self.bn2 = nn.Conv2d(mid, mid, 3, stride, 1, bias=False), nn.BatchNorm2d(mid)
        self.conv3, self.bn3 = nn.Conv2d(mid, 4 * mid, 1, bias=False), nn.BatchNorm2d(4 * mid)
        self.downsample = shortcut(cin, 4 * mid, stride)

    def forward(self, x):
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(y)) + (self.downsample(x) if self.downsample is not None else x))


def shortcut(cin, cout, stride):
    if stride == 1 and cin == cout:
        return None
    return nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))


class ResNet(nn.Module):
    def __init__(self, block, depths, w, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, w, 7, 2, 3, bias=False), nn.BatchNorm2d(w)
        cin, grow = w, 4 if block is Bottleneck else 1
        for s, depth in enumerate(depths):
            mid, layers = w << s, []
            for k in range(depth):
                layers.append(block(cin, mid, 2 if s and k == 0 else 1))
                cin = grow * mid
            setattr(self, f"layer{s + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(cin, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for s in range(4):
            x = getattr(self, f"layer{s + 1}")(x)
        return self.fc(x.mean((2, 3)))


class DenseLayer(nn.Module):
    def __init__(self, cin, growth):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(cin), nn.Conv2d(cin, 4 * growth, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(4 * growth), nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))], 1)


class Transition(nn.Module):
    def __init__(self, cin):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(cin), nn.Conv2d(cin, cin // 2, 1, bias=False)

    def forward(self, x):
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


class DenseNet(nn.Module):
    def __init__(self, w, classes):
        super().__init__()
        f, c, depths = nn.Sequential(), w, (6, 12, 24, 16)
        f.add_module("conv0", nn.Conv2d(3, w, 7, 2, 3, bias=False))
        f.add_module("norm0", nn.BatchNorm2d(w))
        f.add_module("relu0", nn.ReLU())
        f.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        for b, depth in enumerate(depths):
            block = nn.Sequential()
            for k in range(depth):
                block.add_module(f"denselayer{k + 1}", DenseLayer(c, w // 2))
                c += w // 2
            f.add_module(f"denseblock{b + 1}", block)
            if b < 3:
                f.add_module(f"transition{b + 1}", Transition(c))
                c //= 2
        f.add_module("norm5", nn.BatchNorm2d(c))
        self.features, self.classifier = f, nn.Linear(c, classes)

    def forward(self, x):
        return self.classifier(F.relu(self.features(x)).mean((2, 3)))


class VGG(nn.Module):
    def __init__(self, w, classes):
        super().__init__()
        layers, cin = [], 3
        for depth, scale in zip((2, 2, 3, 3, 3), (1, 2, 4, 8, 8)):
            for _ in range(depth):
                layers += [nn.Conv2d(cin, w * scale, 3, 1, 1), nn.BatchNorm2d(w * scale), nn.ReLU()]
                cin = w * scale
            layers.append(nn.MaxPool2d(2))
        self.features, self.classifier = nn.Sequential(*layers), nn.Linear(cin, classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class EncoderLayer(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(d, eps=1e-6), nn.LayerNorm(d, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(d, 12, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Dropout(0), nn.Linear(4 * d, d), nn.Dropout(0))

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.self_attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class ViT(nn.Module):
    def __init__(self, w, classes, side):
        super().__init__()
        d = 12 * w
        self.conv_proj = nn.Conv2d(3, d, 16, 16)
        self.class_token = nn.Parameter(torch.zeros(1, 1, d))
        self.encoder = nn.Module()
        self.encoder.pos_embedding = nn.Parameter(torch.zeros(1, (side // 16)**2 + 1, d))
        self.encoder.layers = nn.Sequential()
        for k in range(12):
            self.encoder.layers.add_module(f"encoder_layer_{k}", EncoderLayer(d))
        self.encoder.ln = nn.LayerNorm(d, eps=1e-6)
        self.heads = nn.Sequential()
        self.heads.add_module("head", nn.Linear(d, classes))

    def forward(self, x):
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1) + self.encoder.pos_embedding
        return self.heads(self.encoder.ln(self.encoder.layers(x))[:, 0])


def make(arch, w, classes, side):
    if arch == "resnet18":
        return ResNet(Basic, (2, 2, 2, 2), w, classes)
    if arch == "resnet50":
        return ResNet(Bottleneck, (3, 4, 6, 3), w, classes)
    return {"densenet121": lambda: DenseNet(w, classes), "vgg16_bn": lambda: VGG(w, classes), "vit_b16": lambda: ViT(w, classes, side)}[arch]()


def initial(name, shapes):
    """As parity_weights in tests/nn/parity.c."""
    shape = shapes[name]
    u = tp.uniform(int(np.prod(shape)), tp.fnv1a64(name), 0).reshape(shape)
    weight = shapes.get(name.rsplit(".", 1)[0] + ".weight", shape) if "." in name else shape
    if len(weight) in (2, 4):
        return (2 * u - 1) / np.sqrt(float(np.prod(weight[1:])))
    return 0.5 + u if name.endswith(".weight") else u - 0.5


def network(arch, dtype):
    net = make(arch, WIDTHS[arch], CLASSES, tp.SIDE).to(dtype).train()
    shapes = {name: tuple(p.shape) for name, p in net.named_parameters()}
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(torch.from_numpy(initial(name, shapes)))
    return net


def joined(tensors, unit):
    parts = []
    for name in sorted(tensors, key=lambda n: n.encode()):
        t = tensors[name].double().numpy().ravel()
        norm = np.linalg.norm(t)
        parts.append(t if not unit else t / norm if norm >= 1e-10 else 0 * t)
    return np.concatenate(parts)


def record(fixture, arch, images, labels):
    net = network(arch, torch.float64)
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-6, momentum=0.9, weight_decay=1e-4)
    losses = []
    for step in range(STEPS[arch]):
        optimiser.zero_grad()
        logits = net(images)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            grads = {n: p.grad for n, p in net.named_parameters()}
            fixture.add(arch, "f64", "loss", "step1", loss.item())
            fixture.add(arch, "f64", "logits", "step1", logits.detach())
            fixture.add(arch, "f64", "unit_grads", "step1", joined(grads, True))
            norms = np.array([grads[n].norm().item() for n in sorted(grads, key=lambda n: n.encode())])
            fixture.add(arch, "f64", "grad_norms", "step1", np.where(norms >= 1e-10, norms, 0))
        optimiser.step()
    fixture.add(arch, "f64", "losses", "steps", losses)
    fixture.add(arch, "f64", "state", "steps", joined({n: p.detach() for n, p in net.named_parameters()}, False))
    net.eval()
    with torch.no_grad():
        fixture.add(arch, "f64", "eval_logits", "steps", net(images))
    single = network(arch, torch.float32)
    logits = single(images.float())
    fixture.add(arch, "f32", "loss", "step1", F.cross_entropy(logits, labels).item())
    fixture.add(arch, "f32", "logits", "step1", logits.detach())


def check_full_scale():
    names = os.path.join(os.environ.get("UMED_SHARED_DIR", ""), "spec", "names")
    counts = {"resnet18": 11689512, "resnet50": 25557032, "densenet121": 7978856, "vgg16_bn": 15236136, "vit_b16": 86567656}
    for arch, expected in counts.items():
        net = make(arch, 64, 1000, 224)
        count = sum(p.numel() for p in net.parameters())
        assert count == expected, (arch, count, expected)
        listing = os.path.join(names, arch + ".tsv")
        if os.path.exists(listing) and arch != "vgg16_bn":
            tp.check_names(net, listing)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("-o", metavar="FILE", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_classifiers.txt"))
    output = parser.parse_args().o
    torch.set_num_threads(1)
    tp.check_generator()
    check_full_scale()
    images = torch.from_numpy(tp.make_batch()[0]).repeat(1, 3, 1, 1)
    labels = torch.tensor([(n + 1) % 3 for n in range(tp.BATCH)])
    tp.FORMAT = FORMAT
    fixture = tp.Fixture()
    for arch in WIDTHS:
        record(fixture, arch, images, labels)
    fixture.write(output)
    print(f"{output}: {len(fixture.lines)} tensors, {os.path.getsize(output)} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
