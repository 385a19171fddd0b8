"""mostlyai-engine: TabularARGN, autoregressive, trained by DP-SGD.

Value protection (rare categories, ranges) takes an epsilon of its own from the total. It is off, since bounds and
categories are public here, and the training gets the whole budget, which ends it. The engine then reads the bins of
numeric columns off the rows, unpaid: a gift to this peer.
"""

from __future__ import annotations

from harness import Sampler, Task, main
from mostlyai.engine import TabularARGN
from mostlyai.engine.domain import DifferentialPrivacyConfig


def fit(task: Task) -> Sampler:
    privacy = DifferentialPrivacyConfig(max_epsilon=task.epsilon, delta=task.delta, value_protection_epsilon=None)
    kinds = dict.fromkeys(task.categories, "TABULAR_CATEGORICAL") | dict.fromkeys(task.bounds, "TABULAR_NUMERIC_AUTO")
    engine = TabularARGN(
        value_protection=False, differential_privacy=privacy, tgt_encoding_types=kinds, device="cpu",
        random_state=task.seed,
    )  # fmt: skip
    engine.fit(task.frame)
    return lambda n: engine.sample(n_samples=n)


if __name__ == "__main__":
    main(fit)
