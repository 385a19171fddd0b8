"""SDV: CTGAN and TVAE as they come, without privacy. A reference for what their kind of network learns from rows.

Runs in the environment of privsynth, which depends on sdv.
"""

from __future__ import annotations

import warnings

import torch
from harness import Sampler, Task, main
from sdv.metadata import Metadata
from sdv.single_table import CTGANSynthesizer, TVAESynthesizer

METHODS = {"ctgan": CTGANSynthesizer, "tvae": TVAESynthesizer}


def fit(task: Task) -> Sampler:
    warnings.filterwarnings("ignore")
    torch.manual_seed(task.seed)
    kinds = dict.fromkeys(task.categories, "categorical") | dict.fromkeys(task.bounds, "numerical")
    columns = {name: {"sdtype": kinds[name]} for name in task.frame.columns}
    metadata = Metadata.load_from_dict({"tables": {"table": {"columns": columns}}})
    synthesizer = METHODS[task.method](metadata, enforce_rounding=True)
    synthesizer.fit({"table": task.frame})
    return lambda n: synthesizer.sample(num_rows=n)["table"]


if __name__ == "__main__":
    main(fit)
