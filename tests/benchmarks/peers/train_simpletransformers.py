"""Train with simpletransformers: FOLDER with an encoder, TABLE with text and labels, BATCH_SIZE, MEAN_TOKENS."""

import json
import sys
import tempfile

import pandas as pd
from simpletransformers.classification import ClassificationModel

from nbhelpers.course.bench.meter import Meter

folder, table, batch_size, mean_tokens = sys.argv[1:]
frame = pd.read_csv(table)
with tempfile.TemporaryDirectory() as output:
    args = {
        "train_batch_size": int(batch_size),
        "num_train_epochs": 1,
        "max_seq_length": 128,
        "output_dir": output,
        "cache_dir": output,
        "overwrite_output_dir": True,
        "no_save": True,
        "silent": True,
        "use_multiprocessing": False,
        "fp16": False,
    }
    model = ClassificationModel("bert", folder, num_labels=frame["labels"].nunique(), use_cuda=False, args=args)
    meter = Meter(model.model)
    model.train_model(frame)
print(json.dumps({"texts_per_second": meter.texts_per_second(float(mean_tokens))}))
