"""dpmm (SAS): AIM, MST and PrivBayes on Private-PGM, behind PrivTree bins.

epsilon of the pipeline is that of the model alone; the bins' comes on top, so the two are shared out here, nine to one
as in its own defaults. AIM's default of 16 rounds a column ends far beyond any time limit on two cores: 45 rounds.
"""

from __future__ import annotations

from typing import Any

from dpmm.pipelines import AIMPipeline, MSTPipeline, PrivBayesPipeline
from harness import Sampler, Task, main

PIPELINES: dict[str, Any] = {"aim": AIMPipeline, "mst": MSTPipeline, "privbayes": PrivBayesPipeline}
BINS = 0.1  # share of epsilon
AIM_ROUNDS = 45


def fit(task: Task) -> Sampler:
    options = {"rounds": AIM_ROUNDS} if task.method == "aim" else {}
    pipeline = PIPELINES[task.method](
        epsilon=(1 - BINS) * task.epsilon, delta=task.delta, proc_epsilon=BINS * task.epsilon, gen_kwargs=options
    )
    domain: dict[str, Any] = {name: {"categories": values} for name, values in task.categories.items()}
    domain |= {name: {"lower": low, "upper": high} for name, (low, high) in task.bounds.items()}
    pipeline.fit(task.frame, domain, random_state=task.seed)
    return lambda n: pipeline.generate(n_records=n)


if __name__ == "__main__":
    main(fit)
