#!/bin/sh
# All that is to be measured on an NVIDIA GPU, in about eight minutes, without a network. Rows come to data/results.
#
#     sh tests/benchmarks/gpu.sh
set -e
cd "$(dirname "$0")/../.."
export HF_HUB_OFFLINE=1
python tests/benchmarks/graphs.py
python tests/benchmarks/gpu.py
