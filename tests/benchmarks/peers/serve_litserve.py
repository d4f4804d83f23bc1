"""Serve a classifier with litserve: FOLDER, PORT. Batches as its documentation advises."""

import sys

import litserve
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class Classifier(litserve.LitAPI):
    """From {"texts": [one]} to its label."""

    def setup(self, device):
        self.tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
        self.model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1]).eval()

    def decode_request(self, request):
        return request["texts"][0]

    def predict(self, texts):
        inputs = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            return self.model(**inputs).logits.softmax(-1).tolist()

    def encode_response(self, scores):
        best = max(range(len(scores)), key=scores.__getitem__)
        return {"results": [{"label": self.model.config.id2label[best], "score": scores[best]}]}


if __name__ == "__main__":
    api = Classifier(max_batch_size=32, batch_timeout=0.005)
    litserve.LitServer(api, accelerator="cpu").run(port=int(sys.argv[2]), generate_client_file=False)
