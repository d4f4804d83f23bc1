"""Installs the course on Colab, Kaggle or a server. The first cell of a lesson runs it if nbhelpers is missing."""

import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

checkout = Path(__file__).resolve().parents[1]
kept = {}
for name in ("torch", "numpy", "pandas"):
    with suppress(PackageNotFoundError):
        kept[name] = f"{name}=={version(name)}\n"
# What the platform has compiled and tested together stays as it is. Without torch, the versions that we tested come.
pins = "".join(kept.values()) if "torch" in kept else (checkout / "constraints.txt").read_text(encoding="utf-8")
print("Installing the course (some minutes, once) ...", flush=True)
with TemporaryDirectory() as folder:
    keep = Path(folder, "keep.txt")
    keep.write_text(pins, encoding="utf-8")
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", "-c", str(keep), "-e", f"{checkout}[lessons]"])
sys.modules.pop("nbhelpers", None)  # the folder of the clone, which Python took for a package
sys.path.insert(0, str(checkout))
