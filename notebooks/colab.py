"""Installs the course on Colab, Kaggle or a server. The first cell of a lesson runs it if nbhelpers is missing."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

checkout = Path(__file__).resolve().parents[1]
# What the platform has compiled and tested together stays as it is
Path("keep.txt").write_text("".join(f"{name}=={version(name)}\n" for name in ("torch", "numpy", "pandas")))
pip = [sys.executable, "-m", "pip", "install", "-q", "-c", "keep.txt", "-e", f"{checkout}[lessons]"]
subprocess.check_call(pip)
sys.modules.pop("nbhelpers", None)  # the folder of the clone, which Python took for a package
sys.path.insert(0, str(checkout))
