"""Train with sentence-transformers' CrossEncoderTrainer: FOLDER, TABLE with text and labels, BATCH_SIZE, MEAN_TOKENS.

A cross-encoder reads pairs, so the second text of each is empty.
"""

import json
import sys
import tempfile

import pandas as pd
from datasets import Dataset
from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import CrossEntropyLoss

from nbhelpers.course.bench.meter import Meter

folder, table, batch_size, mean_tokens = sys.argv[1:]
frame = pd.read_csv(table)
data = Dataset.from_dict({"text": frame["text"], "empty": [""] * len(frame), "label": frame["labels"]})
model = CrossEncoder(folder, num_labels=frame["labels"].nunique(), max_length=128, device="cpu")
with tempfile.TemporaryDirectory() as output:
    args = CrossEncoderTrainingArguments(
        output,
        num_train_epochs=1,
        per_device_train_batch_size=int(batch_size),
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = CrossEncoderTrainer(model=model, args=args, train_dataset=data, loss=CrossEntropyLoss(model))
    meter = Meter(model)
    trainer.train()
print(json.dumps({"texts_per_second": meter.texts_per_second(float(mean_tokens))}))
