"""Train with setfit: FOLDER with an encoder, TABLE with text and labels, BATCH_SIZE, MEAN_TOKENS.

setfit trains on pairs of texts, so a text counts as often as it is read, and many more are read than the table has.
"""

import json
import sys
import tempfile

import pandas as pd
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments

from nbhelpers.course.bench.meter import Meter

folder, table, batch_size, mean_tokens = sys.argv[1:]
frame = pd.read_csv(table).rename(columns={"labels": "label"})
model = SetFitModel.from_pretrained(folder, device="cpu")
model.model_body.max_seq_length = 128
with tempfile.TemporaryDirectory() as output:
    args = TrainingArguments(
        output,
        batch_size=int(batch_size) // 2,
        num_epochs=1,
        max_steps=len(frame) // int(batch_size),
        save_strategy="no",
        report_to="none",
    )
    trainer = Trainer(model, args, train_dataset=Dataset.from_pandas(frame))
    meter = Meter(model.model_body)
    trainer.train_embeddings(*trainer.dataset_to_parameters(trainer.train_dataset), args=args)
print(json.dumps({"texts_per_second": meter.texts_per_second(float(mean_tokens))}))
