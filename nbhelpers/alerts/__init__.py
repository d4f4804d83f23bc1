"""Alerts: notice soon that the news about a company has turned bad, with a known number of false alarms.

It takes labels with dates, from any classifier, counts each story once, and raises an alert when the labels of a
company's stories have changed by more than chance explains.

How to use it: copy this folder into your project (it needs numpy, pandas, scipy and httpx, not torch). First make a
rule. Here 20 % of the stories are negative in ordinary times, and 60 % should be noticed:

>>> rule = make_rule(usual=0.2, raised=0.6, items_per_false_alarm=400)
>>> [round(run_length(rule, share), 1) for share in (0.2, 0.6)]  # stories to a false alarm, and to a right one
[426.1, 10.6]

Then pass it what the classifier says, as it comes. The state is a file, so a restart forgets nothing; a sentence that
comes twice counts once, and one that comes late counts on its day:

>>> import tempfile
>>> path = tempfile.mkdtemp() + "/state.db"
>>> watch = Watch(path, {"negative": rule})
>>> for day in ("03", "10", "17", "24"):
...     news = {"id": day, "date": f"2041-06-{day}", "company": "Aeroquena", "label": "negative", "text": "Bad news."}
...     for message in watch.add([news]).alerts:
...         print(message["text"])
Aeroquena: 4 of the last 4 stories are negative, from 2041-06-03 to 2041-06-24
>>> watch.add([news])  # the last one again
Added(new=0, doubled=1, conflicting=0, alerts=[])

Deliver the alerts with `deliver(watch.store, "https://...")`, after each `add` and from time to time. What cannot be
delivered is tried again later, also after a restart.

The unit `monitoring` has another purpose: it asks whether the *classifier* behaves as on dev data, over all its
predictions. This one asks whether the *world* has changed, for each company.

The files: `counts` has shares with intervals, `charts` the p-chart, `rules` the CUSUM and its exact run length,
`simulation` streams to try a rule on, `stories` finds sentences about one story, `watch` joins all this, `store` keeps
the state, and `webhook` delivers.
"""

from .charts import chance_of_any, false_alarm_chance, moving_range_limits, p_chart
from .counts import count_labels, wilson_interval
from .errors import AlertError
from .rules import Alarm, Rule, make_rule, run_length
from .simulation import (
    cusum_run_length,
    draw_flags,
    error_rates,
    first_alarms,
    predicted_share,
    shewhart_run_length,
)
from .store import Alert, Sentence, Store
from .stories import find_stories, pair_scores, shingles, similarity, story_label
from .watch import Added, Chart, Story, Watch, content_id
from .webhook import Outcome, check_url, deliver, post, wait_seconds

__all__ = [
    "Added",
    "Alarm",
    "Alert",
    "AlertError",
    "Chart",
    "Outcome",
    "Rule",
    "Sentence",
    "Store",
    "Story",
    "Watch",
    "chance_of_any",
    "check_url",
    "content_id",
    "count_labels",
    "cusum_run_length",
    "deliver",
    "draw_flags",
    "error_rates",
    "false_alarm_chance",
    "find_stories",
    "first_alarms",
    "make_rule",
    "moving_range_limits",
    "p_chart",
    "pair_scores",
    "post",
    "predicted_share",
    "run_length",
    "shewhart_run_length",
    "shingles",
    "similarity",
    "story_label",
    "wait_seconds",
    "wilson_interval",
]
