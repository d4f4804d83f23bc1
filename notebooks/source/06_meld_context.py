# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 6. Dialogue context
#
# In one of the dialogues of this course, Stan says: "Get it off." Is he angry? Is he afraid? These three words alone do
# not say. But a moment ago, in the swimming pool, somebody's old plaster (a sticky strip for small wounds) got stuck to
# him, and Sandra said: "Oh, no, it's still got hair on." Now it is clear that Stan is disgusted. A model that reads
# only his three words cannot know.
#
# After this lesson you can
#
# - give a model the turns around the one it classifies, as windows or as one pass over the whole dialogue,
# - make sure that it sees no turn of another dialogue, and no later turn unless you want it to,
# - recognize the mistakes that make context look better, or worse, than it is.
#
# You should know: how an encoder is fine-tuned and scored, from [lesson 3](03_baseline.ipynb).
#
# <!-- facts -->
# Measured: default profile 46 s, 2.3 GiB on 2 CPU threads. Not run with: MELD, GPU.
# <!-- /facts -->
#
# <!-- outline -->
#
# | part | minutes |
# |---|---|
# | A turn and its dialogue | 1 |
# | Windows | 3 |
# | One pass for the whole dialogue | 2 |
# | Hide the turns that come later | 2 |
# | Train without context, then with it | 2 |
# | Your own dialogue | 1 |
# | Explore a turn | 2 |
# | What goes wrong | 3 |
# | What was measured | 3 |
# | Quiz | 1 |
# | Recap | 1 |
#
# <!-- /outline -->
#
# The first cell does nothing if the course is already installed.

# %% Setup
try:
    from nbhelpers import environment
except ImportError:  # on Colab, Kaggle or a server
    from pathlib import Path
    from runpy import run_path

    found = [path for path in (Path("colab.py"), Path("nbhelpers/notebooks/colab.py")) if path.exists()]
    assert found, "first get the course:  !git clone <the address of this course> nbhelpers"
    run_path(str(found[0]))

# %% [markdown]
# This picture shows how a text becomes probabilities; [lesson 3](03_baseline.ipynb) explains each step. Context changes
# the three blue steps. The *text* gets other turns around it. The *encoder* may have to ignore some of them. The
# *pooling* takes the mean over the tokens of one turn only, because the model classifies that turn and not its
# neighbors.

# %%
from nbhelpers.course.lesson import LiveTraining, check, diagrams, explore, headline, load_splits, quiz, results

diagrams.path(["text", "encoder", "pooling"])

# %% [markdown]
# The next two cells import what the lesson uses, and set its parameters. You can change the parameters and run the
# lesson again.

# %%
import numpy as np
import pandas as pd
import torch

from nbhelpers import batching, encoders, environment, metrics, objectives, plots, training
from nbhelpers.course.conversations import some_dialogues, typed_turns
from nbhelpers.dialogue import add_speaker_tokens, encode_turns, spans, speaker_tokens, whole_dialogues, windows

pd.set_option("display.max_colwidth", None)  # tables show turns in full

# %% cellView="form" tags=["parameters"]
# @markdown "dialogues" (included in the course), "meld" (downloaded if missing), or dialogues of your own.
corpus = "dialogues"  # @param {type: "string"}
# @markdown The column with the texts; if empty, it is found by its name or its content.
text = ""  # @param {type: "string"}
# @markdown The column with the labels; if empty, it is found by its name or its content.
label = ""  # @param {type: "string"}
# @markdown Of dialogues: the column with the name or number of the dialogue; if empty, it is found by its name.
dialogue = ""  # @param {type: "string"}
# @markdown Of dialogues: the column with the speaker of each turn; if empty, it is found by its name.
speaker = ""  # @param {type: "string"}
# @markdown "embedded", a local folder, or a name on the Hub such as "roberta-base".
encoder = "embedded"  # @param {type: "string"}
# @markdown What comes before each turn: the speaker's "name", "id" (a token per speaker of the dialogue), or "none".
speaker_format = "name"  # @param ["name", "id", "none"]
# @markdown If true, each turn sees only itself and earlier turns, as in a conversation that is still going on.
causal_turns = True  # @param {type: "boolean"}
# @markdown Use at most this many dialogues of each split; 0 uses all.
num_dialogues = 150  # @param {type: "integer"}
# @markdown Number of passes over single turns, before the model sees whole dialogues.
num_single_turn_epochs = 2  # @param {type: "integer"}
# @markdown Number of passes over whole dialogues; the epoch with the best dev score is kept.
num_epochs = 3  # @param {type: "integer"}
# @markdown Peak learning rate of the encoder; larger encoders need less, roberta-large about 0.00001.
lr = 1.5e-4  # @param {type: "number"}
# @markdown Peak learning rate of the new head.
head_lr = 1e-3  # @param {type: "number"}
# @markdown Seed of the random numbers.
seed = 0  # @param {type: "integer"}

# %% [markdown]
# ## A turn and its dialogue
#
# A *dialogue* is a list of *turns*. A turn is what one speaker says at a time, usually until another one speaks. Each
# turn has a label; in the course's dialogues it is neutral, surprise, fear, sadness, joy, disgust or anger. The turns
# around a turn are its *context*. The next cell loads the dialogues as tables with one row per turn:

# %%
columns = {"text": text, "label": label, "dialogue": dialogue, "speaker": speaker}
splits = load_splits(corpus, needs_dialogues=True, seed=seed, **columns)
names = splits["train"].features["label"].names
data = {split: some_dialogues(part.to_pandas(), num_dialogues) for split, part in splits.items()}
gold = {split: frame["label"].to_numpy() for split, frame in data.items()}
ids = {split: frame["dialogue_id"].tolist() for split, frame in data.items()}
pd.DataFrame({split: {"dialogues": len(set(ids[split])), "turns": len(ids[split])} for split in data})

# %% [markdown]
# Here are the two shortest turns of a dialogue in dev. Which label does each of them have? Decide before you go on.

# %%
scene = data["dev"][data["dev"]["dialogue_id"] == ids["dev"][0]]
list(scene.loc[scene["text"].str.len().nsmallest(2).index, "text"])

# %% [markdown]
# Now look at the whole dialogue. Each speaker has a lane, and each turn has a mark with its label. Turns are counted
# from 1, here and in the rest of the lesson.

# %%
plots.timeline(scene["speaker"].tolist(), [names[i] for i in scene["label"]], scene["text"].tolist(), names=names)

# %% [markdown]
# Find the two turns again. If you would now label them differently, or with more confidence, that is what context can
# do. A model can only use it if the context is in its input.
#
# ## Windows
#
# The common way is a *window*: one input for each turn, with the turn and a few turns before it. The next function
# finds the window of row `i` in a table that is sorted by dialogue and turn. Rows of a table are counted from 0, as
# always in Python.


# %%
def window_by_hand(frame, i, past):
    rows = [j for j in range(max(0, i - past), i + 1) if frame["dialogue_id"][j] == frame["dialogue_id"][i]]
    return [f"{frame['speaker'][j]}: {frame['text'][j]}" for j in rows]


window_by_hand(data["dev"], i=2, past=5)

# %% [markdown]
# We asked for five earlier turns and got fewer, because row 2 is near the start of its dialogue. The line with `rows`
# takes no row before the first one of the table, and only rows of the same dialogue. Without the second condition, the
# first turns of each dialogue would read the end of another dialogue.
#
# **Exercise 1.** A window can also have turns *after* the one it classifies. Write the complete rule. Return the
# numbers of row `i`, of up to `past` rows before it and of up to `future` rows after it, in order. Only rows of the
# same dialogue count; `dialogue_ids` has the dialogue of each row. A wrong answer gets a hint.


# %%
def window(i, dialogue_ids, past, future):
    return None  # your code


check("06-window", window)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def window(i, dialogue_ids, past, future):
#     rows = range(max(0, i - past), min(len(dialogue_ids), i + future + 1))
#     return [j for j in rows if dialogue_ids[j] == dialogue_ids[i]]
# ```
# </details>
#
# ### Windows as tokens
#
# The next two cells load the encoder and convert each turn into tokens. The name of the speaker comes before the words
# of the turn.

# %%
device = environment.best_device()
precision, _ = environment.best_precision(device)
environment.set_seed(seed)
tokenizer, model = encoders.load(encoder, names, attention_dropout=0.0)
encoders.use_fast_layers(model, device, precision)
if speaker_format == "id":
    add_speaker_tokens(tokenizer, model)


# %%
def encode(frame):
    columns = {"speakers": frame["speaker"], "speaker_format": speaker_format}
    return encode_turns(frame["text"], frame["dialogue_id"], tokenizer, **columns)


turns = {split: encode(frame) for split, frame in data.items()}

# %% [markdown]
# The helper `windows` follows the rule of exercise 1. Between two turns it puts the special tokens with which the
# encoder's tokenizer separates two texts: `[SEP]` for BERT and the course's encoder, `</s></s>` for RoBERTa. It also
# stores where the turn begins and ends in the window (`starts` and `ends`); the pooling needs these two numbers.

# %%
example = windows(turns["dev"], ids["dev"], tokenizer, past=2)[4]
start, end = example["starts"][0], example["ends"][0]
print("the model reads:", tokenizer.decode(example["input_ids"]))
print("it classifies:  ", tokenizer.decode(example["input_ids"][start:end]))

# %% [markdown]
# An encoder reads a limited number of tokens. If a window is too long, the turn itself is kept, and then the nearest
# turns are added as long as there is room. Here we ask for nine earlier turns, but with room for only 30 tokens:

# %%
short = windows(turns["dev"], ids["dev"], tokenizer, past=9, max_length=30)[4]
print(f"{len(short['input_ids'])} tokens:", tokenizer.decode(short["input_ids"]))

# %% [markdown]
# <details><summary>Another way to write the speaker</summary>
#
# From names, a model can learn habits of persons, such as "Ross is often sad". That helps with the same persons and
# misleads with others. With `speaker_format = "id"`, the turns of the first speaker of a dialogue start with the new
# token `[SPK1]`, those of the second with `[SPK2]`, and so on. These tokens only tell which turns come from the same
# person.
# </details>
#
# ## One pass for the whole dialogue
#
# With windows, the encoder reads the same turn many times: once to classify it, and once in each window of a later
# turn. There is a cheaper way. The encoder computes a vector for *each* token of its input, and each vector depends on
# all tokens. So one pass over the whole dialogue gives the vectors of all turns, and every turn can be classified from
# its own tokens:

# %%
diagrams.windows()

# %% [markdown]
# **Exercise 2.** In the picture, the dialogue has four turns, and windows with two earlier turns make the encoder read
# nine turns. Predict: how many turns does it read for a dialogue of *ten* turns, with windows of *five* earlier turns?

# %%
turns_read = None  # your answer, a number
check("06-cost", turns_read)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# turns_read = 1 + 2 + 3 + 4 + 5 + 5 * 6  # the windows of turns 1 to 5, and five windows of six turns: 45
# ```
# </details>
#
# Compare the number of tokens for the training data:

# %%
inputs = {
    "windows of 5 earlier turns": windows(turns["train"], ids["train"], tokenizer, past=5),
    "whole dialogues": whole_dialogues(turns["train"], ids["train"], tokenizer),
}
counts = {
    name: {"inputs": len(examples), "tokens": sum(len(example["input_ids"]) for example in examples)}
    for name, examples in inputs.items()
}
pd.DataFrame(counts).T

# %% [markdown]
# Fewer tokens take less time, though not quite in proportion, because attention costs more for each token of a long
# input. The next cell reads from our measurements how long one epoch takes on 300 dialogues of MELD, a public benchmark
# with dialogues from the series *Friends*. (Measure it on your machine with `python tests/benchmarks/steps.py`.)

# %%
measured = {row["row"]: row for row in results.read("steps")}  # the last measurement of each
by_window, by_dialogue = measured["epoch of past-5 windows"], measured["epoch of whole dialogues"]
times = by_window["seconds"] / by_dialogue["seconds"]
print(f"on {by_window['device']}:")
print(f"{by_window['seconds']:.0f} s with windows, {by_dialogue['seconds']:.0f} s in one pass, {times:.1f} times less")

# %% [markdown]
# That is one epoch, and not a whole training. Fewer inputs also mean fewer updates per epoch, so whole dialogues may
# need more epochs. In our measurements on the course's dialogues they got six, and windows three.
#
# ## Hide the turns that come later
#
# In one pass, each turn also sees the turns *after* it. That is fine for a transcript of a finished conversation. But
# while people are still talking, the later turns do not exist, and a model that was trained with them misses them. So
# they must be hidden.
#
# An *attention mask* does that. It says for each token which tokens it may attend to, that is, from which tokens it may
# take information. In a *causal* mask over turns, a token may attend to its own turn and to earlier turns, and to
# nothing else:

# %%
diagrams.causal_mask()

# %% [markdown]
# **Exercise 3.** Write this mask. `turns` has the turn that each token belongs to, for instance `[1, 1, 2]`. Return a
# square matrix as a list of lists: `mask[i][j]` is True if token `i` may attend to token `j`.


# %%
def causal_mask(turns):
    return None  # your code


check("06-mask", causal_mask)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def causal_mask(turns):
#     # query: the turn of a token that attends; key: the turn of a token that it may attend to
#     return [[key <= query for key in turns] for query in turns]
# ```
# </details>
#
# The function of the course makes the same comparison for a whole batch. It also hides *padding*, the empty tokens that
# make all inputs of a batch equally long. Turn number 0 is for what comes before the first turn to classify, such as
# `[CLS]`.

# %%
import inspect

from IPython.display import Code

Code(inspect.getsource(encoders.causal_turn_mask), language="python")

# %% [markdown]
# Does the mask work? There is a simple test. If no turn sees a later one, the logits of each turn must be the same as
# if the dialogue ended there. (*Logits* are the outputs of the head, before softmax turns them into probabilities.) The
# first function predicts the turns of some dialogues, each dialogue in one pass. The second one compares.


# %%
def logits_of(turns, dialogue_ids, causal=causal_turns):
    model.config.causal_turns = causal  # whether the model uses the mask
    examples = whole_dialogues(turns, dialogue_ids, tokenizer)
    dataloader = batching.make_dataloader(examples, tokenizer.pad_token_id)
    logits = training.predict(model, dataloader)  # [turns, classes]
    model.config.causal_turns = causal_turns
    return logits


def largest_difference(dialogue, causal):
    one_pass = logits_of(dialogue, [0] * len(dialogue), causal)
    prefixes = [dialogue[:stop] for stop in range(1, len(dialogue) + 1)]
    turn_by_turn = [logits_of(prefix, [0] * len(prefix), causal)[-1] for prefix in prefixes]
    return (one_pass - torch.stack(turn_by_turn)).abs().max()


# %%
first_dialogue = turns["train"][: len(spans(ids["train"])[0])]
for causal in (False, True):
    print(f"causal_turns = {causal}: largest difference {largest_difference(first_dialogue, causal):.1e}")

# %% [markdown]
# Without the mask, later turns change the logits. With it, only rounding is left. Keep such a test in your own project:
# a mask that does not work causes no error, and the scores may even become better.
#
# ## Train without context, then with it
#
# Most of what a model can learn about a turn is in the turn's own words. So it learns these first: some epochs on
# single turns, as in lesson 3. This model is also our comparison. Then the same model is trained further on whole
# dialogues. Attention dropout is off, because it is slow on a CPU when inputs are long. The other dropout stays on.

# %%
model = model.to(device)
model.config.causal_turns = causal_turns  # with the mask, or without it
single_turns, dialogues = {}, {}
for split in data:
    columns = {"dialogue_ids": ids[split], "tokenizer": tokenizer, "labels": gold[split]}
    single_turns[split] = windows(turns[split], past=0, **columns)
    dialogues[split] = whole_dialogues(turns[split], **columns)

# %% [markdown]
# Four small functions make batches of at most 1,024 tokens, predict, score and train:


# %%
def make_dataloader(examples, shuffle):
    return batching.make_dataloader(examples, tokenizer.pad_token_id, max_tokens=1024, shuffle=shuffle, seed=seed)


def predict(examples):
    dataloader = make_dataloader(examples, shuffle=False)
    return training.predict(model, dataloader, precision=precision).softmax(-1).numpy()  # [turns, classes]


def weighted_f1(probabilities, split):
    return metrics.scores(gold[split], probabilities.argmax(-1), len(names))["weighted_f1"]


# %%
def fit(examples, num_epochs):
    def score_dev(_):
        return weighted_f1(predict(examples["dev"]), "dev")

    dataloader = make_dataloader(examples["train"], shuffle=True)
    optimizer = training.make_optimizer(model, lr, head_lr=head_lr)
    scheduler = training.make_scheduler(optimizer, num_epochs * len(dataloader))
    settings = {"num_epochs": num_epochs, "precision": precision}
    settings |= {"evaluate": score_dev, "log": LiveTraining(num_epochs)}
    training.fit(model, dataloader, objectives.cross_entropy, optimizer, scheduler, **settings)


# %%
fit(single_turns, num_single_turn_epochs)
without_context = predict(single_turns["test"])

# %% [markdown]
# These were the single turns. Now the model continues with whole dialogues:

# %%
fit(dialogues, num_epochs)
with_context = predict(dialogues["test"])

# %% [markdown]
# Here are the scores on test, in percent:

# %%
predictions = {"single turns": without_context.argmax(-1), "whole dialogues": with_context.argmax(-1)}
scores = {name: metrics.scores(gold["test"], predicted, len(names)) for name, predicted in predictions.items()}
(100 * pd.DataFrame(scores).T).rename(columns=results.SCORES).round(1)

# %% [markdown]
# Is the difference larger than chance? A paired test compares the two models on the same test turns. It draws whole
# dialogues at random, because the turns of one dialogue are alike. Look at the interval: if it includes 0, other test
# dialogues could show no gain at all.

# %%
single, whole = predictions.values()
comparison = metrics.compare_runs(gold["test"], [single], [whole], groups=ids["test"], num_classes=len(names))
difference, low, high = (100 * comparison[key] for key in ("difference", "low", "high"))
print(
    f"whole dialogues against single turns: {difference:+.1f} points of weighted F1, "
    f"95 % interval {low:+.1f} to {high:+.1f}, p = {comparison['p_permutation']:.4f}"
)

# %% [markdown]
# Read this number with care. The second model differs in more than context: it was also trained longer. And this is one
# seed. The section "What was measured" has a fair comparison with five seeds, and the gain there is much smaller.
#
# Context should help where the turn itself says little. The next table groups the test turns by their number of words,
# and shows the percentage of correct predictions:

# %%
num_words = data["test"]["text"].str.split().str.len()
length_groups = pd.cut(num_words, [0, 2, 4, 8, np.inf], labels=["1 or 2", "3 or 4", "5 to 8", "9 or more"])
correct = pd.DataFrame({name: predicted == gold["test"] for name, predicted in predictions.items()})
accuracy = (100 * correct.groupby(length_groups, observed=True).mean()).round(1)
accuracy.assign(turns=length_groups.value_counts()).rename_axis("words in the turn")

# %% [markdown]
# If context works as we think, the shortest turns gain most. In our run, the longest turns gained as well. That can
# come from the longer training: in the fair comparison with five seeds, they gain next to nothing.
#
# ## Your own dialogue
#
# Type a dialogue, one turn on each line: a name, a colon, and what is said. Then click outside the box. The timeline
# shows the prediction for each turn. The table compares it with the prediction of the same model when it reads the turn
# alone, as if it were the first turn of a dialogue. It also shows the probability of the predicted class.


# %%
def predict_dialogue(dialogue):
    frame = typed_turns(dialogue)
    in_dialogue = logits_of(encode(frame), frame["dialogue_id"]).softmax(-1)
    alone = logits_of(encode(frame), range(len(frame))).softmax(-1)  # each turn is a dialogue of its own
    table = pd.DataFrame({"turn": frame["speaker"] + ": " + frame["text"]})
    for condition, probabilities in (("alone", alone), ("in the dialogue", in_dialogue)):
        top = probabilities.max(-1)
        table[condition] = [f"{names[i]}, {100 * p:.0f} %" for p, i in zip(top.values, top.indices, strict=True)]
    table.index += 1  # turns are counted from 1
    labels = [names[i] for i in in_dialogue.argmax(-1)]
    picture = plots.timeline(frame["speaker"], labels, frame["text"], names, "Predicted label of each turn")
    return [picture, table]


# %%
import ipywidgets

typed = """Ann: I sold the car.
Bo: You did what?
Ann: I sold it to your brother.
Bo: Great."""
explore(predict_dialogue, dialogue=ipywidgets.Textarea(typed, rows=7, continuous_update=False))

# %% [markdown]
# With the mask, turn 1 has the same prediction in both columns. Now give Ann good news: write "I got the job." in her
# first line, and "They called an hour ago." in her second. Does the prediction for "Great." change? It cannot change in
# the column "alone". This small model makes mistakes. Try to find out what it has learned.
#
# ## Explore a turn
#
# Which of the earlier turns matter, and does the mask really hide the later ones? We start with a turn of dev that the
# model predicts wrongly when it reads the turn alone, and correctly in the dialogue. Of all such turns, it is the one
# whose label gained most probability. So it is the best case, and not a typical one.

# %%
alone, in_dialogue = predict(single_turns["dev"]), predict(dialogues["dev"])
every_row = np.arange(len(gold["dev"]))
gain = in_dialogue[every_row, gold["dev"]] - alone[every_row, gold["dev"]]
is_fixed = (alone.argmax(-1) != gold["dev"]) & (in_dialogue.argmax(-1) == gold["dev"])
best = int((gain + is_fixed).argmax())  # + 1 for a fixed turn, so that one of them comes first if there is any
dev_dialogues = spans(ids["dev"])
start_dialogue = next(number for number, rows in enumerate(dev_dialogues, start=1) if best in rows)
start_turn = best - dev_dialogues[start_dialogue - 1].start + 1
longest = max(map(len, dev_dialogues))
print(f"dialogue {start_dialogue}, turn {start_turn}")


# %% [markdown]
# The first function predicts one row of dev from the rows `first` to `stop - 1`. The second one lists these turns, and
# says what the model does with each. The third one shows both.


# %%
def probabilities_of(row, first, stop, causal):
    read = turns["dev"][first:stop]
    return logits_of(read, [0] * len(read), causal)[row - first].softmax(-1).numpy()


def list_turns(rows, row, first, stop, causal):
    table = data["dev"].loc[first : stop - 1, ["speaker", "text"]]  # .loc includes the last row
    later = "does not see it" if causal else "sees it"
    table["the model"] = ["classifies it" if i == row else later if i > row else "sees it" for i in table.index]
    return table.set_index(table.index - rows.start + 1).rename_axis("turn")


# %%
def look(
    dialogue=start_dialogue, turn=start_turn, turns_before=longest - 1, turns_after=0, hide_later_turns=causal_turns
):
    rows = dev_dialogues[dialogue - 1]
    row = rows[min(turn, len(rows)) - 1]
    first, stop = max(rows.start, row - turns_before), min(rows.stop, row + turns_after + 1)
    conditions = {
        "this turn alone": probabilities_of(row, row, row + 1, hide_later_turns),
        f"{row - first} before, {stop - row - 1} after": probabilities_of(row, first, stop, hide_later_turns),
    }
    _, probabilities = conditions.values()
    seen = "hidden by the mask" if hide_later_turns else "visible"
    change = np.abs(probabilities - probabilities_of(row, first, row + 1, hide_later_turns)).max()
    return [
        f"Turn {row - rows.start + 1} of dialogue {dialogue} has the label {names[gold['dev'][row]]}.",
        list_turns(rows, row, first, stop, hide_later_turns),
        plots.class_probabilities(pd.DataFrame(conditions, index=names).T),
        f"Later turns: {stop - row - 1}, {seen}. They change a probability by at most {100 * change:.1f} points.",
    ]


# %%
numbers = {"dialogue": (1, len(dev_dialogues)), "turn": (1, longest), "turns_before": (0, longest - 1)}
explore(look, **numbers, turns_after=(0, 5), hide_later_turns=causal_turns)

# %% [markdown]
# Try three things.
#
# - Choose a later turn, such as turn 8. Move "turns before" from 7 down to 0, one step at a time. How far back do turns
#   still change the probabilities?
# - Move "turns after" up. As long as later turns are hidden, the last line says 0.0 points: the turns are in the input,
#   but the mask hides them.
# - Clear the check box "hide later turns". Now the model sees them, and the probabilities move. (It was trained with
#   the mask and has never seen later turns. So this does not show how useful they are. For that, set `causal_turns` to
#   False and train again.)
#
# **Exercise 4.** Go back to the dialogue and turn with which the explorer started; they are printed above it. Which
# class gains most probability from the turns before it?

# %%
before = probabilities_of(best, best, best + 1, causal_turns)  # the two sets of bars in that picture
after = probabilities_of(best, dev_dialogues[start_dialogue - 1].start, best + 1, causal_turns)

# %%
gaining_class = None  # your answer, in quotation marks
check("06-moved", gaining_class, before, after, names)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# gains = pd.Series(after, index=names) - pd.Series(before, index=names)
# gaining_class = gains.idxmax()
# ```
# </details>
#
# ## What goes wrong
#
# ### The window from the end of the dialogue
#
# A common mistake is to give every turn the *last* `k` turns of its dialogue. All turns of a dialogue then have the
# same input, which often lacks the turn itself and shows turns that come later. The next cell counts how often. Such a
# model predicts one class for a whole dialogue. The cell also scores about the best that it could do: the most frequent
# label of each dialogue. Compare this score with those of the two models above.

# %%
frame = data["test"]
by_dialogue = frame.groupby("dialogue_id")
position, size = by_dialogue.cumcount(), by_dialogue["text"].transform("size")
one_label = by_dialogue["label"].transform(lambda labels: labels.mode()[0]).to_numpy()
score = metrics.scores(gold["test"], one_label, len(names))["weighted_f1"]
print(f"inputs without the turn itself: {100 * (position < size - 5).mean():.0f} % (k = 5)")
print(f"inputs with a later turn: {100 * (position < size - 1).mean():.0f} %")
print(f"the most frequent label of each dialogue: weighted F1 {100 * score:.1f}")

# %% [markdown]
# ### A filter over the whole table for every row
#
# `frame[frame["dialogue_id"] == d]` reads the whole table to find ten rows. In a loop over all rows of a large table,
# the time grows with the square of their number: ten times as many rows take about a hundred times as long. `spans`
# goes through the table once and finds the same rows:

# %%
import time

start_time = time.perf_counter()
filtered = [frame.index[frame["dialogue_id"] == dialogue_id] for dialogue_id in frame["dialogue_id"]]
middle_time = time.perf_counter()
grouped = [rows for rows in spans(ids["test"]) for _ in rows]
end_time = time.perf_counter()
same_rows = all(list(a) == list(b) for a, b in zip(filtered, grouped, strict=True))
print(f"filter: {1000 * (middle_time - start_time):.1f} ms, spans: {1000 * (end_time - middle_time):.1f} ms")
print(f"the same rows: {same_rows}")

# %% [markdown]
# ### The seed or the epoch chosen on test
#
# To train five seeds and report the best test score is a mistake. The best seed is partly the lucky one, and new data
# will not repeat its luck. The same happens when the epoch or a setting is chosen on test, and more so with more to
# choose from. The next cell shows the difference in our measurements:

# %%
rows = {}
for row in ("the turn alone", "past only", "past and future"):
    test_scores = pd.Series([100 * run["test"]["weighted_f1"] for run in results.runs("dialogues", row)])
    rows[row] = {"mean of the seeds": test_scores.mean(), "best seed on test": test_scores.max()}
table = pd.DataFrame(rows).T
table.assign(difference=table["best seed on test"] - table["mean of the seeds"]).round(1)

# %% [markdown]
# Report the mean over the seeds, and choose epochs and settings on dev, as `fit` did above.
#
# ### New tokens that start equal
#
# A token for each speaker, such as `[SPK1]`, needs a new row in the *embedding*, the table with a vector for each
# token. `resize_token_embeddings` of transformers draws the new rows close to the mean of all rows. That is a good
# start for one new word, but not for several tokens that must be told apart. The rows start nearly equal, so at first
# the model cannot tell the speakers apart, and a short training may not change that. There is no error, and the score
# looks normal. `add_speaker_tokens` draws the rows with the spread of the vocabulary. Compare how far the rows are from
# each other:


# %%
def distance(model, tokens):
    rows = model.get_input_embeddings().weight[tokens]
    return torch.nn.functional.pdist(rows.detach().float()).mean().item()


distances = {}
for function in ("resize_token_embeddings", "add_speaker_tokens"):
    new_tokenizer, new_model = encoders.load(encoder, names)
    if function == "add_speaker_tokens":
        add_speaker_tokens(new_tokenizer, new_model)
    else:
        new_tokenizer.add_special_tokens({"extra_special_tokens": speaker_tokens()})
        with encoders.quiet():
            new_model.resize_token_embeddings(len(new_tokenizer))
    distances[function] = distance(new_model, new_tokenizer.convert_tokens_to_ids(speaker_tokens()))
distances["every 30th token of the vocabulary"] = distance(new_model, list(range(0, len(new_tokenizer), 30)))
pd.Series(distances, name="mean distance between rows").round(3).to_frame()

# %% [markdown]
# ### A checkpoint that has seen the test set
#
# The public `emoberta` checkpoints were trained on dialogues of MELD's train, dev *and test*: their `utils.py` merges
# the three before it splits them (see [tae898/erc issue 29](https://github.com/tae898/erc/issues/29)). That is good for
# an application, but such a checkpoint is worthless as a baseline on that test set. For each checkpoint, ask what it
# was trained on.
#
# ## What was measured
#
# How much does context add, if both sides are trained with five seeds? The next picture shows the gain in weighted F1.
# Its 95 % interval takes into account that other seeds and other test dialogues would give other scores. If an interval
# reaches across the line at 0, no gain was shown. The first three rows are the dialogues written for this course. The
# others are MELD. The two rows with the larger encoder are those of `embedded-base`, with 109 million parameters and
# three seeds. The last row is for earlier and later turns with roberta-large. It comes from the scores that the authors
# of EmoBERTa published ([five seeds each](https://github.com/tae898/erc)), and has no interval.

# %%
measured_rows = {
    "course, windows of 4 earlier turns": ("dialogues", "windows of 4 earlier turns"),
    "course, earlier turns": ("dialogues", "past only"),
    "course, earlier and later turns": ("dialogues", "past and future"),
    "MELD, earlier turns": ("context", "past only"),
    "MELD, earlier and later turns": ("context", "past and future"),
    "MELD, larger encoder, earlier turns": ("base", "past only"),
    "MELD, larger encoder, earlier and later turns": ("base", "past and future"),
}
gains = {
    name: [100 * results.tests(table)[row][key] for key in ("difference", "low", "high")]
    for name, (table, row) in measured_rows.items()
}
gains["MELD, roberta-large, the same (published)"] = [65.6 - 63.7, np.nan, np.nan]
frame = pd.DataFrame.from_dict(gains, orient="index", columns=["score", "low", "high"])
plots.score_bars(frame, measure="gain in weighted F1 (points)", title="What context adds")

# %% [markdown]
# The course's dialogues were written so that context matters: in part of them, half of the turns are short, and what
# came before tells how they are meant. So they show what context *can* add. On MELD, the same small encoder shows no
# gain. The larger embedded encoder is ahead with context, by less than one point, which can be chance; the still larger
# roberta-large gained about two points. What context adds on your data, you have to measure.
#
# Be careful with all rows but the first. Their models differ from the single turns in more than context; ours, for
# example, were trained longer. The first row is the fair comparison. It has a *control*: a model with the same settings
# that sees no earlier turns.
#
# The next two cells collect the tables behind this picture, and variations. Choose one from the list. (Reproduce them
# with `nbhelpers results dialogues`, `nbhelpers results context` and `nbhelpers results base --seeds 3`.)

# %%
variations = ["no names", "a token per speaker", "emotion shift", "sentiment as well", "R-Drop"]
published = ["roberta-large without context", "roberta-large with past and future and names"]
averages = ["utterance only, three seeds averaged", "past only, averaged", "past and future, averaged"]
tables = {
    "course: with and without context": results.summary("dialogues"),
    "course: votes of five seeds": results.votes("dialogues", ["the turn alone", "past only", "past and future"]),
    "MELD: with and without context": results.summary(
        "context", rows=["utterance only", "past only", "past and future", *published]
    ),
    "MELD: variations": results.summary("context", rows=[f"past and future, {name}" for name in variations]),
    "MELD: averages of three models": results.summary("context", rows=averages),
    "MELD: the larger encoder": results.summary("base"),
}
tables = {
    name: table.drop(columns=["accuracy", "seconds", "threads"], errors="ignore") for name, table in tables.items()
}


# %%
def table_of(measurement="course: with and without context"):
    return tables[measurement].set_index("row")


explore(table_of, measurement=list(tables))

# %% [markdown]
# <details><summary>How to read these tables</summary>
#
# Each score is the mean over the seeds ± standard deviation, in percent. The column "difference" compares a row with
# the row named in "against": the gain, its 95 % interval, and the p-value of a paired test, corrected for the number of
# comparisons in the table ([Holm](https://en.wikipedia.org/wiki/Holm%E2%80%93Bonferroni_method)). Rows with "future"
# need the whole transcript; all others work while people are still talking.
#
# - *Votes*: if you train five seeds, you can let them vote. The prediction for each turn is then the class with most
#   votes, at five times the cost.
# - *Variations*: *emotion shift* is a second task, which asks for each pair of neighboring turns whether the emotion
#   changes. *Sentiment as well* has three more outputs for negative, neutral and positive. *R-Drop* is the method of
#   [lesson 5](05_rdrop.ipynb). All their intervals include 0, with this encoder, on this corpus.
# - *Averages*: the average of the probabilities of three models, one without context, one with it, and one with it and
#   R-Drop. It scores above each of the three. But three models are often better than one. Compared with an average of
#   three models *without* context, no difference was shown.
#
# On the dev split of MELD, the models with context scored higher than those without. But their settings were chosen on
# dev, among fifty, and those for single turns were not. So dev favors them. That is what a test split is for.
# </details>
#
# ## Quiz
#
# Three questions on this lesson. Each choice has an explanation.

# %%
quiz("06-future")
quiz("06-window")
quiz("06-gain")

# %% [markdown]
# ## Recap
#
# - A window never reaches into another dialogue, and it shows later turns only if the task allows it.
# - One pass for each dialogue reads each turn once. A causal mask hides later turns, and a short test shows whether it
#   works.
# - Say with every score whether later turns were visible.
# - Context helps most with short turns. On the course's dialogues, windows of four earlier turns scored higher than the
#   control over five seeds. On MELD, this small encoder showed no gain.
#
# Next: in [7. Deployment](07_deployment.ipynb) a model becomes a service. The last cell gives the number that
# `nbhelpers run` shows for this lesson in its table.

# %%
headline("test weighted F1", weighted_f1(with_context, "test"))
