"""Reads what `umed report DIR` merged, and the files of single results below DIR (src/io/FORMAT.md)."""

import csv
import pathlib

import h5py
import numpy as np

PROTECTORS = ["none", "em", "tap", "lsp", "ar", "sep", "umed"]
EXPLOITERS = ["unet", "attention_unet", "unetpp", "transunet"]
DEFENSES = ["none", "blur", "jpeg60", "jpeg30", "advtrain"]
DATASETS = ["busi", "chest_xray", "kvasir_seg"]


def rank(order, name):
    """Sort key: names of `order` first, in its order, then the rest by name."""
    return (order.index(name), "") if name in order else (len(order), name)


class Results:
    """Rows of the merged file as dicts; numbers are floats, NaN where one does not apply."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        path = self.folder / "results.h5"
        if not path.is_file():
            raise SystemExit(f"{path} is missing; run `umed report {folder}` first")
        with h5py.File(path) as f:
            self.cells = _rows(f, "cells")
            self.protections = _rows(f, "protections")
            self.utilities = _rows(f, "utilities")
        for row in self.cells + self.protections + self.utilities:
            row["method"] = _method(row)

    def datasets(self):
        return sorted({r["dataset"] for r in self.cells + self.protections}, key=lambda n: rank(DATASETS, n))

    def methods(self, rows):
        return sorted({r["method"] for r in rows}, key=lambda n: rank(PROTECTORS, n))

    def curves(self, cell):
        """{name: (x, y)} of one cell."""
        out = {}
        with h5py.File(self.folder / "cells" / cell["key"] / "result.h5") as f:
            curves = f["curves"]
            for name in curves:
                if name.endswith("_x"):
                    continue
                y = curves[name][()]
                x = curves[name + "_x"][()] if name + "_x" in curves else np.arange(1, len(y) + 1)
                out[name] = (x, y)
        return out

    def clean_path(self, protection):
        """Where the clean dataset of a protection was when it was made, or None."""
        with h5py.File(self.folder / "protected" / (protection["key"] + ".result.h5")) as f:
            inputs = str(f.attrs.get("inputs", ""))
            if isinstance(f.attrs.get("inputs"), bytes):
                inputs = f.attrs["inputs"].decode()
        for line in inputs.splitlines():
            path = pathlib.Path(line.split(" ")[0])
            if path.exists():
                return path
        return None


def _rows(f, group):
    if group not in f:
        return []
    columns = {}
    for name, data in f[group].items():
        values = data[()]
        columns[name] = [v.decode() for v in values] if values.dtype.kind == "S" else values.tolist()
    n = len(next(iter(columns.values())))
    return [{name: column[i] for name, column in columns.items()} for i in range(n)]


def _method(row):
    """How figures call a method: LSP and AR under a dataset's budget by their own names, cases of Table 5 by their letter."""
    base = row["protector_base"]
    if row["case"] not in ("", "A"):
        return f"{base} ({row['case']})"
    return base if base in ("lsp", "ar") else row["protector"]


def mean_sd(values):
    """Mean and standard deviation (n - 1; 0 for one value) without NaNs; (nan, nan) for none."""
    v = np.asarray([x for x in values if np.isfinite(x)], dtype=float)
    if len(v) == 0:
        return float("nan"), float("nan")
    return float(v.mean()), float(v.std(ddof=1)) if len(v) > 1 else 0.0


def paper():
    """The paper's numbers under our identifiers: {(table, dataset, protector, bound, exploiter, defense, metric): value}."""
    names = {"BUSI": "busi", "Chest X-ray": "chest_xray", "Kvasir-SEG": "kvasir_seg", "U-Net": "unet", "Attention U-Net": "attention_unet",
             "U-Net++": "unetpp", "TransUNet": "transunet", "gaussian_blur_3x3": "blur", "jpeg": "jpeg60", "adv_train_linf_4/255": "advtrain"}
    out = {}
    with open(pathlib.Path(__file__).parent / "paper_tables.csv", newline="", encoding="utf-8") as f:
        for row in csv.DictReader(f):
            key = tuple(names.get(row[k], row[k].lower()) for k in ("dataset", "protector", "bound", "exploiter", "defense")) + (row["metric"],)
            out.setdefault(key, float(row["value"]))
    return out


class Images:
    """Rows of a dataset: one file or a folder of shards."""

    def __init__(self, path):
        path = pathlib.Path(path)
        self.parts = sorted(path.glob("shard-*.h5")) if path.is_dir() else [path]
        self.place, self.split = {}, {}
        for part in self.parts:
            with h5py.File(part) as f:
                for i, name in enumerate(f["ids"][()]):
                    self.place[name.decode()] = (part, i)
                    self.split[name.decode()] = int(f["split"][i])

    def read(self, name):
        """image [h, w, c] in [0, 1] and mask [h, w]."""
        part, i = self.place[name]
        with h5py.File(part) as f:
            image = f["images"][i]
            return image.astype(float) / (255 if image.dtype == np.uint8 else 65535), f["masks"][i]
