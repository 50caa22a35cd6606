"""Makes the pictures under docs/images.

    KERAS_BACKEND=jax python -m scripts.pictures [KIND ...]

Trains the models of `runs.py` once, into build/pictures/runs, and draws all
kinds of pictures, or those named. Chromium and its driver are needed, and the
extras demo, docs and dev. What is said of a picture (its width, its pages, what
axe-core finds) is printed. Every picture goes to build/pictures; those that
docs/images has already are replaced there. The pictures of the handbook are
made by scripts/handbook.py, signal_and_gradient.png by
benchmarks/initialization.py.
"""

import importlib
import pathlib
import shutil
import sys

from scripts.pictures import runs

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_KEPT = _ROOT / "docs" / "images"
_ALL = _ROOT / "build" / "pictures"
# What a reader on a slow line can wait for.
_LARGEST = 200_000
KINDS = ("tab", "pages", "plots", "consoles", "notebook", "gradient_norms")


def _make_small(path):
    """Keep 256 colours of a picture: a third of its bytes, and looks alike."""
    from PIL import Image

    picture = Image.open(path).convert("RGB")
    kept = Image.Quantize.MAXCOVERAGE  # also the colour of a few letters
    few = picture.quantize(256, kept, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def main(kinds):
    """Make the pictures of these kinds, or all."""
    for kind in kinds:
        if kind not in KINDS:
            sys.exit(f"KIND must be one of {', '.join(KINDS)}, not {kind}")
    (_ALL / "runs").mkdir(parents=True, exist_ok=True)
    runs.train(_ALL / "runs")
    for kind in kinds or KINDS:
        module = importlib.import_module(f"scripts.pictures.{kind}")
        module.make(_ALL, _ALL / "runs")
    for path in sorted(_ALL.glob("*.png")):
        if not (_KEPT / path.name).is_file():
            continue
        _make_small(path)
        size = path.stat().st_size
        if size > _LARGEST:
            sys.exit(f"{path.name} has {size:,} bytes, over {_LARGEST:,}")
        shutil.copyfile(path, _KEPT / path.name)


if __name__ == "__main__":
    main(sys.argv[1:])
