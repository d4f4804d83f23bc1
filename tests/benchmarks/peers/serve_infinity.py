"""Serve a classifier with infinity: FOLDER, PORT. Its command line, with the engine for torch."""

import os
import sys
from pathlib import Path

folder, port = sys.argv[1:]
infinity = str(Path(sys.executable).with_name("infinity_emb"))
options = ["v2", "--model-id", folder, "--served-model-name", "model", "--engine", "torch", "--device", "cpu"]
os.execv(infinity, [infinity, *options, "--port", port])
