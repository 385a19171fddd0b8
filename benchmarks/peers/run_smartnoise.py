"""smartnoise-synth (OpenDP, Microsoft): MST on equal bins, and DPCTGAN with its defaults.

Its transformers would read bounds and categories off the rows; here they are fitted to the public ones alone.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from harness import Sampler, Task, main
from snsynth import Synthesizer
from snsynth.transform import BinTransformer, ChainTransformer, LabelTransformer, MinMaxTransformer, OneHotEncoder
from snsynth.transform.table import TableTransformer

BINS = 20


def fit(task: Task) -> Sampler:
    network = task.method == "dpctgan"
    transformer = public_transformer(task, network)
    more: dict[str, Any] = {"verbose": False} | ({"cuda": False} if network else {})
    synthesizer = Synthesizer.create(task.method, epsilon=task.epsilon, delta=task.delta, **more)
    synthesizer.fit(task.frame, transformer=transformer, preprocessor_eps=0.0)
    return synthesizer.sample


def public_transformer(task: Task, network: bool) -> TableTransformer:
    """One column's transformer after the other, fitted to what is public."""
    parts, known = [], {}
    for name in task.frame.columns:
        if name in task.categories:
            label = LabelTransformer(nullable=False)
            parts.append(ChainTransformer([label, OneHotEncoder()]) if network else label)
            known[name] = task.categories[name]
        else:
            low, high = (float(bound) for bound in task.bounds[name])
            numeric = (
                MinMaxTransformer(lower=low, upper=high)
                if network
                else BinTransformer(bins=BINS, lower=low, upper=high)
            )
            parts.append(numeric)
            known[name] = [low, high]
    most = max(len(values) for values in known.values())
    public = pd.DataFrame({name: (values * most)[:most] for name, values in known.items()})
    transformer = TableTransformer(parts)
    transformer.fit(public)
    return transformer


if __name__ == "__main__":
    main(fit)
