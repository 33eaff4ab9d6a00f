"""The figures of the report. Each function takes Results and returns a list of (file stem, title, caption, figure)."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from results import DEFENSES, EXPLOITERS, PROTECTORS, Images, mean_sd, paper, rank

# Okabe and Ito's palette, told apart by colour-blind readers; clean is grey.
COLOURS = {"none": "#777777", "em": "#E69F00", "tap": "#56B4E9", "lsp": "#009E73", "ar": "#CC79A7", "sep": "#0072B2", "umed": "#D55E00"}
MARKERS = {"none": "X", "em": "o", "tap": "s", "lsp": "^", "ar": "v", "sep": "D", "umed": "*"}
MORE = ["#000000", "#F0E442", "#8C564B", "#17BECF", "#9467BD", "#2CA02C", "#BCBD22", "#E377C2"]
TITLES = {"busi": "BUSI", "chest_xray": "Chest X-ray", "kvasir_seg": "Kvasir-SEG", "unet": "U-Net", "attention_unet": "Attention U-Net",
          "unetpp": "U-Net++", "transunet": "TransUNet", "none": "none", "advtrain": "adversarial training", "blur": "blur",
          "jpeg60": "JPEG 60", "jpeg30": "JPEG 30", "em": "EM", "tap": "TAP", "lsp": "LSP", "ar": "AR", "sep": "SEP", "umed": "UMed"}

plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
                     "figure.constrained_layout.use": True, "legend.frameon": False, "axes.titlesize": 10})


def title(name):
    first, _, rest = name.partition(" ")
    return TITLES.get(first, first) + (" " + rest if rest else "")


def colour(method, methods):
    if method in COLOURS:
        return COLOURS[method]
    others = [m for m in methods if m not in COLOURS]
    return MORE[others.index(method) % len(MORE)]


def select(rows, **wanted):
    return [r for r in rows if all(r[k] == v for k, v in wanted.items())]


def training_curves(results):
    """One figure per dataset: test DSC over epochs, a panel per exploiter and defense, a line per method."""
    out = []
    for dataset in results.datasets():
        cells = select(results.cells, dataset=dataset)
        panels = sorted({(c["exploiter"], c["defense"]) for c in cells}, key=lambda p: (rank(EXPLOITERS, p[0]), rank(DEFENSES, p[1])))
        if not panels:
            continue
        columns = min(4, len(panels))
        rows = -(-len(panels) // columns)
        figure, axes = plt.subplots(rows, columns, figsize=(3.3 * columns + 1.4, 2.6 * rows), squeeze=False, sharey=True)
        methods = results.methods(cells)
        for k, (exploiter, defense) in enumerate(panels):
            axis = axes[k // columns][k % columns]
            _curves_panel(results, axis, select(cells, exploiter=exploiter, defense=defense), methods)
            axis.set_title(title(exploiter) + ("" if defense == "none" else f", {title(defense)}"))
            if k % columns == 0:
                axis.set_ylabel("test DSC (%)")
            if k // columns == rows - 1 or k + columns >= len(panels):
                axis.set_xlabel("epoch")
        for k in range(len(panels), rows * columns):
            axes[k // columns][k % columns].set_axis_off()
        handles = [plt.Line2D([], [], color=colour(m, methods), label=title(m)) for m in methods]
        axes[0][-1].legend(handles=handles, loc="center left", bbox_to_anchor=(1.02, 0.5))
        out.append((f"curves_{dataset}", f"Training curves: {title(dataset)}",
                    "DSC on clean test images while networks train on protected ones; mean over seeds, the band is their range. A dot is the "
                    "best epoch, what an exploiter who peeks at clean test images would stop at.", figure))
    return out


def _curves_panel(results, axis, cells, methods):
    for method in methods:
        series = [c for c in (results.curves(cell).get("test_dsc") for cell in select(cells, method=method)) if c is not None]
        if not series:
            continue
        n = min(len(y) for _, y in series)
        x = series[0][0][:n]
        stack = 100 * np.array([y[:n] for _, y in series])
        mean = stack.mean(axis=0)
        line, = axis.plot(x, mean, color=colour(method, methods), linewidth=1.5)
        if len(series) > 1:
            axis.fill_between(x, stack.min(axis=0), stack.max(axis=0), color=line.get_color(), alpha=0.08, linewidth=0)
        best = int(mean.argmax())
        axis.plot(x[best], mean[best], marker="o", markersize=4, color=line.get_color())
    axis.set_ylim(0, 100)


def pareto(results):
    """DSC of the U-Net against PSNR, a panel per dataset; the best trade-offs are joined."""
    datasets = [d for d in results.datasets() if select(results.protections, dataset=d)]
    exploiter = "unet" if any(c["exploiter"] == "unet" for c in results.cells) else None
    if not datasets or exploiter is None:
        return []
    figure, axes = plt.subplots(1, len(datasets), figsize=(4.2 * len(datasets) + 1.2, 3.6), squeeze=False)
    numbers = paper()
    every = results.methods(results.protections)
    for axis, dataset in zip(axes[0], datasets):
        points = _pareto_points(results, dataset, exploiter)
        for method, (psnr, psnr_sd, dsc, dsc_sd) in points.items():
            base = method.split(" ")[0]
            axis.errorbar(psnr, dsc, xerr=psnr_sd, yerr=dsc_sd, color=colour(method, every), marker=MARKERS.get(base, "P"), markersize=9,
                          linestyle="", elinewidth=0.8, capsize=2)
            was = (numbers.get((dataset, base, "4/255", "", "none", "PSNR")), numbers.get((dataset, base, "4/255", exploiter, "none", "DSC")))
            if None not in was and method in PROTECTORS:
                axis.plot(*was, marker=MARKERS[base], color=colour(method, every), markerfacecolor="none", markersize=9, linestyle="")
        front = _front([(p[0], p[2]) for p in points.values()])
        if len(front) > 1:
            axis.plot(*zip(*front), color="#999999", linewidth=1, zorder=0)
        clean, _ = mean_sd([c["test_dsc_batch"] for c in select(results.cells, dataset=dataset, method="none", exploiter=exploiter, defense="none")])
        if np.isfinite(clean):
            axis.axhline(100 * clean, color=COLOURS["none"], linestyle="--", linewidth=1)
        axis.set_title(title(dataset))
        axis.set_xlabel("PSNR (dB)")
        axis.set_ylim(bottom=0)
    axes[0][0].set_ylabel(f"test DSC of a {title(exploiter)} (%)")
    handles = [plt.Line2D([], [], color=colour(m, every), marker=MARKERS.get(m.split(" ")[0], "P"), linestyle="", label=title(m)) for m in every]
    handles.append(plt.Line2D([], [], color=COLOURS["none"], linestyle="--", label="clean"))
    handles.append(plt.Line2D([], [], color="black", marker="o", markerfacecolor="none", linestyle="", label="paper"))
    axes[0][-1].legend(handles=handles, loc="center left", bbox_to_anchor=(1.02, 0.5))
    return [("pareto", "Protection against visibility", "Lower is better protected, further right less visible. Filled: ours, mean and standard "
             "deviation over seeds; open: the paper's numbers at its own scale; dashed: without protection; the line joins our best trade-offs.",
             figure)]


def _pareto_points(results, dataset, exploiter):
    points = {}
    protections = select(results.protections, dataset=dataset)
    for method in results.methods(protections):
        cells = select(results.cells, dataset=dataset, method=method, exploiter=exploiter, defense="none")
        dsc = mean_sd([100 * c["test_dsc_batch"] for c in cells])
        psnr = mean_sd([p["psnr"] for p in select(protections, method=method)])
        if np.isfinite(dsc[0]) and np.isfinite(psnr[0]):
            points[method] = (*psnr, *dsc)
    return points


def _front(points):
    """Points that no other beats in both, by PSNR."""
    return sorted(p for p in points if not any(q[0] >= p[0] and q[1] <= p[1] and q != p for q in points))


def heat_map(results):
    """DSC of every exploiter under every method, a panel per dataset (Table 2 with U-Net)."""
    cells = select(results.cells, defense="none")
    datasets = [d for d in results.datasets() if select(cells, dataset=d)]
    exploiters = sorted({c["exploiter"] for c in cells}, key=lambda n: rank(EXPLOITERS, n))
    if not datasets:
        return []
    methods = results.methods(cells)
    figure, axes = plt.subplots(1, len(datasets), figsize=((0.95 * len(exploiters) + 1.1) * len(datasets) + 1.6, 0.42 * len(methods) + 1.5),
                                squeeze=False)
    for k, (axis, dataset) in enumerate(zip(axes[0], datasets)):
        values = np.array([[100 * mean_sd([c["test_dsc_batch"] for c in select(cells, dataset=dataset, method=m, exploiter=x)])[0]
                            for x in exploiters] for m in methods])
        image = axis.imshow(np.ma.masked_invalid(values), cmap="viridis", vmin=0, vmax=100, aspect="auto")
        for i, j in np.ndindex(values.shape):
            if np.isfinite(values[i, j]):
                axis.text(j, i, f"{values[i, j]:.1f}", ha="center", va="center", fontsize=8, color="white" if values[i, j] < 55 else "black")
        axis.set_xticks(range(len(exploiters)), [title(x) for x in exploiters], rotation=30, ha="right")
        axis.set_yticks(range(len(methods)), [title(m) for m in methods] if k == 0 else [])
        axis.set_title(title(dataset))
        axis.grid(False)
    figure.colorbar(image, ax=axes[0].tolist(), label="test DSC (%)", shrink=0.9)
    return [("heat_map", "Every network under every method", "DSC on clean test images, mean over seeds, without defenses: Tables 1 and 2. "
             "Dark is well protected.", figure)]


def defenses(results):
    """Bars of DSC under each defense, a panel per dataset and exploiter that has any."""
    panels = [(d, x) for d in results.datasets() for x in sorted({c["exploiter"] for c in results.cells}, key=lambda n: rank(EXPLOITERS, n))
              if len({c["defense"] for c in select(results.cells, dataset=d, exploiter=x)}) > 1]
    out = []
    for dataset, exploiter in panels:
        cells = select(results.cells, dataset=dataset, exploiter=exploiter)
        names = sorted({c["defense"] for c in cells}, key=lambda n: rank(DEFENSES, n))
        defended = {c["method"] for c in cells if c["defense"] != "none"}
        methods = [m for m in results.methods(cells) if m in defended]
        figure, axis = plt.subplots(figsize=(1.1 + 0.34 * len(names) * len(methods) + 0.3 * len(methods), 3.2))
        width = 0.8 / len(names)
        shades = plt.get_cmap("cividis")(np.linspace(0.1, 0.95, len(names)))
        for k, name in enumerate(names):
            stats = [mean_sd([100 * c["test_dsc_batch"] for c in select(cells, method=m, defense=name)]) for m in methods]
            x = np.arange(len(methods)) - 0.4 + width * (k + 0.5)
            known = [i for i, s in enumerate(stats) if np.isfinite(s[0])]
            axis.bar(x[known], [stats[i][0] for i in known], width * 0.92, yerr=[stats[i][1] for i in known], color=shades[k],
                     error_kw={"elinewidth": 0.8, "capsize": 2}, label="no defense" if name == "none" else title(name))
        axis.set_xticks(range(len(methods)), [title(m) for m in methods], rotation=20 if len(methods) > 7 else 0)
        axis.set_ylabel("test DSC (%)")
        axis.set_ylim(0, 100)
        axis.grid(axis="x", visible=False)
        axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        out.append((f"defenses_{dataset}_{exploiter}", f"Defenses: {title(exploiter)} on {title(dataset)}",
                    "DSC on clean test images of a network that defends itself; mean and standard deviation over seeds. A protection holds where "
                    "the bars stay low.", figure))
    return out


def leak_and_utility(results):
    """How well a mask can be read off protected images, and how a clean-trained network does on them."""
    datasets = [d for d in results.datasets() if select(results.protections, dataset=d)]
    if not datasets:
        return []
    figure, axes = plt.subplots(2, len(datasets), figsize=(3.9 * len(datasets) + 1.2, 5), squeeze=False)
    for k, dataset in enumerate(datasets):
        _leak_panel(results, axes[0][k], dataset)
        _utility_panel(results, axes[1][k], dataset)
        axes[0][k].set_title(title(dataset))
    axes[0][0].set_ylabel("mask leak, DSC (%)")
    axes[1][0].set_ylabel("DSC of clean-trained nets (%)")
    axes[0][-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    axes[1][-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return [("leak_utility", "What a release gives away, and what it still serves", "Above: DSC of masks read off the images by two simple predictors "
             "(high-pass energy, difference to a median); the line is the same on clean images. Below: networks trained on clean images, on the "
             "protected training images and on the same images as they were.", figure)]


def _bars(axis, names, groups):
    """groups: (label, colour, [(mean, sd) per name])"""
    width = 0.8 / len(groups)
    for k, (label, shade, stats) in enumerate(groups):
        x = np.arange(len(names)) - 0.4 + width * (k + 0.5)
        known = [i for i, s in enumerate(stats) if np.isfinite(s[0])]
        axis.bar(x[known], [stats[i][0] for i in known], width * 0.92, yerr=[stats[i][1] for i in known], color=shade, label=label,
                 error_kw={"elinewidth": 0.8, "capsize": 2})
    axis.set_xticks(range(len(names)), [title(n) for n in names], rotation=30 if len(names) > 6 else 0, ha="right" if len(names) > 6 else "center")
    axis.grid(axis="x", visible=False)


def _leak_panel(results, axis, dataset):
    rows = select(results.protections, dataset=dataset)
    methods = results.methods(rows)
    groups = [(label, shade, [mean_sd([100 * r[name] for r in select(rows, method=m)]) for m in methods])
              for label, name, shade in (("high-pass", "leak_highpass", "#0072B2"), ("difference to median", "leak_denoise", "#E69F00"))]
    _bars(axis, methods, groups)
    for name, shade in (("leak_highpass_clean", "#0072B2"), ("leak_denoise_clean", "#E69F00")):
        axis.axhline(100 * mean_sd([r[name] for r in rows])[0], color=shade, linestyle="--", linewidth=1)
    axis.set_ylim(bottom=0)


def _utility_panel(results, axis, dataset):
    rows = select(results.utilities, dataset=dataset)
    if not rows:
        axis.set_axis_off()
        return
    methods = results.methods(rows)
    _bars(axis, methods, [("protected", "#D55E00", [mean_sd([100 * r["test_dsc_batch"] for r in select(rows, method=m)]) for m in methods]),
                          ("clean", "#777777", [mean_sd([100 * r["train_dsc_batch"] for r in select(rows, method=m)]) for m in methods])])
    axis.set_ylim(0, 100)


def panel(results, clean, n_images=2, gain=None):
    """The paper's Figure 3: image and mask, then for every method its perturbation amplified and the protected image. clean: {dataset: path}
    overrides what the results remember."""
    out = []
    for dataset in results.datasets():
        protections = select(results.protections, dataset=dataset)
        methods = [m for m in results.methods(protections) if m in PROTECTORS]
        chosen = {m: min(select(protections, method=m), key=lambda r: r["seed"]) for m in methods}
        path = clean.get(dataset) or next(filter(None, (results.clean_path(p) for p in chosen.values())), None)
        if not chosen or path is None:
            continue
        source = Images(path)
        released = {m: Images(results.folder / "protected" / (p["key"] + ".h5")) for m, p in chosen.items()}
        names = _telling(source, released, n_images)
        if names:
            out.append(_panel_figure(dataset, methods, source, released, names, gain))
    return out


def _telling(source, released, n):
    """Training images that every method changed, with masks of middling size."""
    sizes = []
    for name in sorted(source.place):
        if source.split[name] != 0:
            continue
        image, mask = source.read(name)
        share = mask.mean()
        if 0.02 < share < 0.4 and all(np.any(r.read(name)[0] != image) for r in released.values()):
            sizes.append((abs(share - 0.1), name))
        if len(sizes) >= 40:
            break
    return [name for _, name in sorted(sizes)[:n]]


def _panel_figure(dataset, methods, source, released, names, gain):
    figure, axes = plt.subplots(2 * len(names), len(methods) + 1, figsize=(1.5 * (len(methods) + 1), 3.1 * len(names)), squeeze=False)
    largest = 0
    for axis in axes.flat:
        axis.set_axis_off()
    for k, name in enumerate(names):
        image, mask = source.read(name)
        _show(axes[2 * k][0], image)
        axes[2 * k][0].contour(mask, levels=[0.5], colors="#D55E00", linewidths=0.8)
        axes[2 * k][0].set_title("image, mask" if k == 0 else "")
        _show(axes[2 * k + 1][0], image)
        for j, method in enumerate(methods):
            protected, _ = released[method].read(name)
            delta = protected - image
            largest = max(largest, np.abs(delta).max())
            amplify = gain or 0.5 / (8 / 255)
            _show(axes[2 * k][j + 1], np.clip(0.5 + amplify * delta, 0, 1))
            _show(axes[2 * k + 1][j + 1], protected)
            if k == 0:
                axes[0][j + 1].set_title(title(method))
    return (f"panel_{dataset}", f"Perturbations: {title(dataset)}", f"Upper rows: the perturbation amplified {gain or 0.5 / (8 / 255):.0f} times around grey "
            f"(largest change {255 * largest:.0f}/255); lower rows: the protected image. Training images {', '.join(names)}.", figure)


def _show(axis, image):
    axis.imshow(np.squeeze(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def everything(results, clean):
    out = []
    for make in (pareto, heat_map, defenses, training_curves, leak_and_utility):
        out += make(results)
    return out + panel(results, clean)
