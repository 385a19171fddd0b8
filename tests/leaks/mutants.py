"""The defects of published libraries (docs/leaks.md), each patched into our own code by one small function.

Most are one changed expression. `rewrite` takes the source as it stands, so that a mutant fails loudly once the code
that it changes is written otherwise, instead of changing nothing.
"""

from __future__ import annotations
import __future__

import csv
import inspect
import io
import json
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from privsynth import evidence, pipeline
from privsynth import planning as plan
from privsynth.audit import scene
from privsynth.encoding import domain, learning
from privsynth.errors import InputError, Problem
from privsynth.ledger import ledger
from privsynth.privacy import accountant, noise, unit
from privsynth.privacy.mechanisms import categories, dpsgd, tables
from privsynth.sampling import synthesizer
from privsynth.table import cells, formats, intake, private, units
from privsynth.trainers import marginals
from privsynth.trainers import modules as networks
from privsynth.trainers import network as anchored

ANNOTATIONS = __future__.annotations.compiler_flag


def rewrite(patch: pytest.MonkeyPatch, owner: Any, name: str, *changes: tuple[str, str]) -> None:
    """Replaces parts of the source of `owner.name`, a function of a module or of a class, wherever it is in use."""
    honest = inspect.getattr_static(owner, name)
    module = owner if isinstance(owner, ModuleType) else sys.modules[owner.__module__]
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(_function(honest))))
    for old, new in changes:
        assert source.count(old) == 1, f"{module.__name__}, {name}: {old!r} stands there {source.count(old)} times"
        source = source.replace(old, new)
    found: dict[str, Any] = {}
    patch.setattr(module, "behind_the_fence", behind_the_fence, raising=False)
    exec(compile(source, f"<mutant of {name}>", "exec", ANNOTATIONS, dont_inherit=True), vars(module), found)
    put(patch, owner, name, found[name])


def put(patch: pytest.MonkeyPatch, owner: Any, name: str, mutant: Any) -> None:
    """Sets `owner.name`, and every other name under which modules have imported it."""
    honest = inspect.getattr_static(owner, name)
    if isinstance(mutant, cached_property):
        mutant.__set_name__(owner, name)
    patch.setattr(owner, name, mutant)
    if isinstance(owner, ModuleType):
        for module in list(sys.modules.values()):
            for key in [key for key, value in vars(module).items() if value is honest] if module else ():
                patch.setattr(module, key, mutant)


def _function(honest: Any) -> Any:
    match honest:
        case property():
            return honest.fget
        case cached_property():
            return honest.func
        case staticmethod() | classmethod():
            return honest.__func__
    return honest


def behind_the_fence(table: Any) -> Any:
    """The rows of a private table: what no code of ours may do, and a defect does."""
    return private._FENCED[table]


# --- DP-SGD: clipping -------------------------------------------------------------------------------------------------


def norms_computed_but_raw_gradients_summed(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, dpsgd, "_add", (" * weight[:, None].to(grad.dtype)", ""))


def weights_computed_but_raw_rows_counted(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, tables, "_weighted", ("(cells, weights, minlength=size)", "(cells, minlength=size)"))


def ghost_clipping_by_a_norm_of_its_own(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, dpsgd.DPSGD, "query", ("self.max_grad_norm * (1 - MARGIN)", "1.0"))


def norm_of_biases_is_wrong(patch: pytest.MonkeyPatch) -> None:
    """As if a layer had none: what it took says all of its norm."""
    rewrite(patch, dpsgd, "_squares", ("norms.values())", "list(norms.values())[:1])"))


def earlier_physical_batches_added_again(patch: pytest.MonkeyPatch) -> None:
    """Each part's pass still finds the gradients of the parts before, as in `.grad`, and adds them once more."""
    rewrite(patch, dpsgd, "_add", ("total[layer.weight].addmm_(", "total[layer.weight].mul_(2).addmm_("))


def microbatches_clipped_as_one_row(patch: pytest.MonkeyPatch) -> None:
    """Microbatches of two rows, each clipped as if it were one: a unit more regroups all that come after it."""

    def clipped(module: Any, loss: Any, codes: Any, noise: Any, max_grad_norm: float) -> list[torch.Tensor]:
        parameters = list(module.parameters())
        total = [torch.zeros_like(p) for p in parameters]
        for part in zip(codes.split(2), noise.split(2), strict=True):
            found = torch.autograd.grad(loss(module, *part).sum(), parameters, allow_unused=True)
            gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
            norm = torch.cat([g.ravel() for g in gradients]).norm()
            if torch.isfinite(norm):
                factor = (max_grad_norm / norm).clamp(max=1.0)
                total = [t + g * factor for t, g in zip(total, gradients, strict=True)]
        return total

    put(patch, dpsgd, "clipped_sum", clipped)


def nan_passes_the_clip(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, dpsgd, "clipped_sum", ("torch.isfinite(norms)", "torch.ones_like(norms, dtype=torch.bool)"))


def batch_norm_in_the_critic(patch: pytest.MonkeyPatch) -> None:
    normed = "(h - h.mean(0)) / (h.std(0, unbiased=False) + 1e-3)"
    rewrite(patch, networks.Critic, "forward", ("self.two(h)", f"self.two({normed})"))


def packs_of_rows_in_the_critic(patch: pytest.MonkeyPatch) -> None:
    """PacGAN: rows go to the critic in packs, so that its score of one depends on its neighbour in the batch."""
    rewrite(patch, networks.Critic, "forward", ("self.two(h)", "self.two(h + h.roll(1, 0))"))


# --- DP-SGD: sampling, divisor, steps ---------------------------------------------------------------------------------


def sum_divided_by_the_batch_that_came(patch: pytest.MonkeyPatch) -> None:
    rewrite(
        patch, dpsgd.DPSGD, "answer",
        ("self.joining(rows, randomness)", "(batch := self.joining(rows, randomness))"),
        ("self.released(noisy)", "[total / max(1, len(batch)) for total in noisy]"),
    )  # fmt: skip


def sum_divided_by_the_true_number_of_units(patch: pytest.MonkeyPatch) -> None:
    by_n = "[total / max(1.0, self.event.sampling_rate * len(rows.spans[0])) for total in noisy]"
    rewrite(patch, dpsgd.DPSGD, "answer", ("self.released(noisy)", by_n))


def shuffled_batches_of_fixed_size(patch: pytest.MonkeyPatch) -> None:
    shuffled = "np.sort(randomness.generator().permutation(len(first))[: round(rate * len(first))])"
    rewrite(patch, dpsgd, "poisson_rows", ("np.flatnonzero(randomness.bernoulli(rate, len(first)))", shuffled))


def units_with_many_rows_drawn_more_often(patch: pytest.MonkeyPatch) -> None:
    weighted = "np.flatnonzero(randomness.uniform(len(first)) < np.minimum(1, rate * count / count.mean()))"
    rewrite(patch, dpsgd, "poisson_rows", ("np.flatnonzero(randomness.bernoulli(rate, len(first)))", weighted))


def rows_drawn_by_category(patch: pytest.MonkeyPatch) -> None:
    """Training by sampling, as in CTGAN: a category of the first column, all equally often, then a row that has it."""

    def joining(self: Any, rows: Any, randomness: Any) -> Any:
        rng = randomness.generator()
        wanted = rng.choice(np.unique(rows.values[:, 0]), rng.binomial(len(rows.spans[0]), self.event.sampling_rate))
        chosen = np.sort([rng.choice(np.flatnonzero(rows.values[:, 0] == code)) for code in wanted]).astype(int)
        latent = randomness.normal((len(chosen), self.latent))
        return dpsgd.Batch(rows.values[chosen], rows.units[chosen], latent)

    put(patch, dpsgd.DPSGD, "joining", joining)


def batches_at_twice_the_rate_that_is_stated(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, dpsgd.DPSGD, "joining", ("self.event.sampling_rate", "min(1.0, 2 * self.event.sampling_rate)"))


def more_steps_than_are_stated(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, dpsgd.DPSGD, "answer", ("range(self.event.steps)", "range(self.event.steps + 1)"))


def accountant_forgets_the_steps(patch: pytest.MonkeyPatch) -> None:
    right = "yield SampledGaussian(sigma, rate, 1), steps"
    rewrite(patch, accountant, "_dominating", (right, "yield SampledGaussian(sigma, rate, 1), 1"))


def accountant_given_half_the_rate(patch: pytest.MonkeyPatch) -> None:
    right = "yield SampledGaussian(sigma, rate, 1), steps"
    rewrite(patch, accountant, "_dominating", (right, "yield SampledGaussian(sigma, rate / 2, 1), steps"))


def accumulated_batches_left_out_of_the_rate(patch: pytest.MonkeyPatch) -> None:
    """Four batches are summed before the noise, and the accountant counts one."""
    one = "self.query(self.joining(rows, randomness))"
    rewrite(patch, dpsgd.DPSGD, "answer", (one, f"[sum(g) for g in zip(*({one} for _ in range(4)))]"))


# --- what is released about columns -----------------------------------------------------------------------------------


def exact_frequencies_of_categories(patch: pytest.MonkeyPatch) -> None:
    noisy = "c + randomness.lattice_gaussian(s, len(c))"
    rewrite(patch, tables.Histograms, "noised", (noisy, "c"))


def frequencies_counted_beside_the_mechanism(patch: pytest.MonkeyPatch) -> None:
    """The histograms are measured, and the shares of categories are then counted all the same."""
    honest = learning.learn_codec

    def learn_codec(domain: Any, private: Any, run: Any, *known: Any) -> Any:
        learned = honest(domain, private, run, *known)
        codes = learned.encode(behind_the_fence(private)).values
        exact = [np.bincount(codes[:, j], minlength=c.size) / len(codes) for j, c in enumerate(learned.columns)]
        exactly = [c.with_shares(share, c.noise) for c, share in zip(learned.columns, exact, strict=True)]
        return replace(learned, columns=tuple(exactly))

    put(patch, learning, "learn_codec", learn_codec)


def _described_by_its_rows(patch: pytest.MonkeyPatch, kind: str, read: Callable[[Any, pd.Series], Any]) -> None:
    """Columns of a kind are measured as planned, and then described by what `read(column, values)` finds in the rows."""
    honest = domain._column_domain

    def column_domain(name: str, column: Any, policy: Any, private: Any, run: Any) -> Any:
        found = honest(name, column, policy, private, run)
        described = (found.source, found.kind) == ("measured", kind)
        return read(found, behind_the_fence(private).values[name]) if described else found

    put(patch, domain, "_column_domain", column_domain)


def bounds_read_off_the_rows(patch: pytest.MonkeyPatch) -> None:
    def read(found: Any, values: pd.Series) -> Any:
        steps = np.clip(values[np.isfinite(values)] / found.step, -1e9, 1e9)
        return replace(found, low=int(steps.min()), high=int(steps.max()) + 1)

    _described_by_its_rows(patch, "number", read)


def categories_read_off_the_rows(patch: pytest.MonkeyPatch) -> None:
    def read(found: Any, values: pd.Series) -> Any:
        return replace(found, categories=(*sorted(set(values.dropna())), domain.OTHER))

    _described_by_its_rows(patch, "category", read)


def clip_norm_read_off_the_rows(patch: pytest.MonkeyPatch) -> None:
    """What the rows hold decides how much is clipped, and so how much noise there is."""
    read = "self.options.max_grad_norm * (1 + float(behind_the_fence(table).values.mean()))"
    rewrite(patch, anchored.NetworkTrainer, "_learn_privately", ("self.options.max_grad_norm", read))


def decoder_kept_within_what_occurs(patch: pytest.MonkeyPatch) -> None:
    """The model remembers the lowest and the highest number of each column, and clips what it decodes to them."""
    learn, sample = pipeline._learn, synthesizer.Synthesizer.sample_typed

    def learned(*arguments: Any) -> Any:
        made, intake = learn(*arguments)
        numbers = behind_the_fence(intake.train).values.select_dtypes("number")
        made.facts["ranges"] = {name: (float(v.min()), float(v.max())) for name, v in numbers.items()}
        return made, intake

    def sample_typed(self: Any, *arguments: Any) -> Any:
        typed, rng = sample(self, *arguments)
        return typed.assign(**{name: typed[name].clip(*ends) for name, ends in self.facts["ranges"].items()}), rng

    put(patch, pipeline, "_learn", learned)
    put(patch, synthesizer.Synthesizer, "sample_typed", sample_typed)


def fixed_threshold_for_rare_categories(patch: pytest.MonkeyPatch) -> None:
    """As if 5 were safe whatever the noise; the accountant still gets the policy's delta."""
    by_delta = "2 + math.ceil(-self.event.noise_multiplier * float(ndtri(self.event.delta)))"
    rewrite(patch, categories.OpenCategories, "threshold", (by_delta, "5"))


def texts_known_by_a_hash_that_stops_at_nul(patch: pytest.MonkeyPatch) -> None:
    def coded(values: Any) -> Any:
        plain = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
        places, distinct = pd.factorize(plain.cast(pa.large_string()).to_pandas())
        return places, [text.encode() for text in distinct]

    put(patch, cells, "_exactly_coded", coded)


def contents_known_by_a_hash_that_stops_at_nul(patch: pytest.MonkeyPatch) -> None:
    def words(values: pd.Series, key: bytes) -> list[np.ndarray]:
        if values.dtype != object:
            return honest(values, key)
        hashed = pd.util.hash_array(values.fillna("").to_numpy(), hash_key=key.hex()[:16], categorize=True)
        return [np.where(values.isna(), np.uint64(0), hashed)]

    honest = units._words_of
    put(patch, units, "_words_of", words)


def only_a_quote_that_is_open_at_the_end_is_refused(patch: pytest.MonkeyPatch) -> None:
    """A strict reader of which one error counts; text behind a closing quote is left to Arrow, which takes it."""

    def check(written: bytes, path: Path, *dialect: object) -> None:
        try:
            list(csv.reader(io.StringIO(written.decode(), newline=""), strict=True))
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise InputError(Problem(str(path), "a quoted value is still open at the end")) from None

    put(patch, formats.csv, "check_grammar", check)


def no_noise_where_there_is_one_column(patch: pytest.MonkeyPatch) -> None:
    """The sensitivity is counted by the other columns: none where there is one."""
    right = "self.event.noise_multiplier / np.sqrt(self.shares)"
    rewrite(patch, tables.Histograms, "sigmas", (right, f"{right} * min(1, len(self.sizes) - 1)"))


def no_noise_on_a_table_of_one_cell(patch: pytest.MonkeyPatch) -> None:
    right = "self.event.noise_multiplier / np.sqrt(np.array(self.shares))"
    cells = "np.array([np.prod([self.sizes[c] for c in table]) for table in self.tables])"
    rewrite(patch, tables.Marginals, "sigmas", (right, f"{right} * np.minimum(1, {cells} - 1)"))


def noise_of_scale_zero_is_drawn(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, noise, "_check", ("low <= value <= high", "0 <= value <= high"))


# --- accounting -------------------------------------------------------------------------------------------------------


def measures_first_and_charges_then(patch: pytest.MonkeyPatch) -> None:
    charged, measured = (
        "run.charge(mechanism.name, mechanism.event)",
        "mechanism.answer(_FENCED[self], run.randomness)",
    )
    rewrite(
        patch, private.PrivateTable, "measure",
        (f"return {measured}", f"{charged}; return released"),
        (f"    {charged}\n", f"    released = {measured}\n"),
    )  # fmt: skip


def refuses_only_once_the_budget_is_passed(patch: pytest.MonkeyPatch) -> None:
    """A run is let in as long as the runs before it kept the cap, however much it asks itself."""
    rewrite(patch, ledger, "_refuse_above", ("rule.accepts(spent + asked)", "rule.accepts(spent)"))


def epsilon_by_a_degenerate_order(patch: pytest.MonkeyPatch) -> None:
    """The best of several orders, one of them so large that its divergence is lost to 0."""
    right = "float(self.distribution.get_epsilon_for_delta(delta))"
    lost = "math.log1p(-1e-6) - math.log(delta * 1e6) / (1e6 - 1)"
    rewrite(patch, accountant.PrivacyLoss, "epsilon", (right, f"min({right}, {lost})"))


def first_stage_not_in_the_total(patch: pytest.MonkeyPatch) -> None:
    rewrite(
        patch, plan, "make_plan",
        ("_gdp_mu(policy, events)", "_gdp_mu(policy, lambda mu: events(mu)[2:])"),  # the first has no noise
        ("total = compose(events(mu))", "total = compose(events(mu)[2:])"),
    )  # fmt: skip


def a_share_is_spent_twice(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, ledger.Reservation, "charge", ("if name in self.charged:", "if False:"))


def a_crash_gives_the_budget_back(patch: pytest.MonkeyPatch) -> None:
    right = '"settle" if self.opened or self.charged else "return"'
    rewrite(patch, ledger.Reservation, "settle", (right, '"return" if outcome.startswith("stopped") else "settle"'))


def spending_is_written_down_at_the_end(patch: pytest.MonkeyPatch) -> None:
    """A run that is killed before it settles leaves a draft, which nothing counts."""
    rewrite(patch, ledger.Ledger, "reserve", ('"reserve", {', '"draft", {'))
    honest = ledger.Reservation.settle

    def settle(self: Any, outcome: str) -> str:
        draft = next(e for e in self.ledger.entries(self.dataset) if (e["run"], e["kind"]) == (self.id, "draft"))
        self.ledger.append(self.dataset, self.id, "reserve", json.loads(draft["body"]))
        return honest(self, outcome)

    put(patch, ledger.Reservation, "settle", settle)


def another_try_of_the_same_policy_is_free(patch: pytest.MonkeyPatch) -> None:
    honest, runs = ledger.Ledger.reserve, dict[tuple[str, str], Any]()

    def reserve(self: Any, plan: Any) -> Any:
        key = self.url, plan.policy_sha256
        if key in runs:
            runs[key].charged.clear()
        return runs.setdefault(key, None) or runs.update({key: honest(self, plan)}) or runs[key]

    put(patch, ledger.Ledger, "reserve", reserve)


# --- whose rows they are ----------------------------------------------------------------------------------------------


def every_row_is_its_own_person_in_counts(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, unit.Rows, "one_of_each", ("self.spans[0]", "np.arange(len(self.units))"))


def every_row_is_its_own_person_in_tables(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, tables.Histograms, "query", ("rows.units", "np.arange(len(cells))"))


def every_row_is_its_own_person_in_steps(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, dpsgd.DPSGD, "joining", ("*rows.spans", "np.arange(len(rows)), np.ones(len(rows), np.int64)"))


def holdout_by_row(patch: pytest.MonkeyPatch) -> None:
    right = 'units, uniform = _hashes(rows if owners is None else unit, key, b"unit")'
    rewrite(patch, units, "number_units", (right, f'{right}; uniform = _hashes(rows, key, b"unit")[1]'))


def reference_and_control_share_people(patch: pytest.MonkeyPatch) -> None:
    """In the audit: whom the attacker knows are those whom the negative control stands for."""
    rewrite(patch, scene, "_part", ("(rows[:half], rows[half:])", "(rows, rows)"))


def holdout_by_one_permutation(patch: pytest.MonkeyPatch) -> None:
    own = 'units, uniform = _hashes(rows if owners is None else unit, key, b"unit")'
    shuffled = "np.random.default_rng(list(key)).permutation(len(unit)) / len(unit)"
    among = "np.unique(units, return_inverse=True)[1]"
    rewrite(patch, units, "number_units", (own, f"{own}; uniform = ({shuffled})[{among}]"))


def bounding_by_one_shuffle(patch: pytest.MonkeyPatch) -> None:
    right = '_hashes(rows, key, b"row")[1]'
    rewrite(patch, units, "number_units", (right, "np.random.default_rng(list(key)).random(len(rows))"))


def max_rows_is_only_claimed(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, intake, "take_in", ("numbered.rank < policy.max_rows", "np.ones(len(frame), bool)"))


# --- noise ------------------------------------------------------------------------------------------------------------


def the_same_key_every_time(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, noise.Randomness, "__init__", ("secrets.token_bytes(32)", "bytes(32)"))


def noise_of_a_simulation_generator(patch: pytest.MonkeyPatch) -> None:
    """PCG64 in place of AES: its state, and with it all noise, can be computed from what it gave out."""
    honest = noise.Randomness.__init__

    def init(self: Any, seed: int | None = None) -> None:
        honest(self, seed)
        self.pcg = np.random.default_rng(seed)

    put(patch, noise.Randomness, "__init__", init)
    put(patch, noise.Randomness, "words", lambda self, size: self.pcg.integers(0, 2**64, size, np.uint64))


def counts_with_noise_in_plain_doubles(patch: pytest.MonkeyPatch) -> None:
    right = "self.rounded_gaussian(scale / LATTICE, shape).astype(np.float64) * LATTICE"
    rewrite(patch, noise.Randomness, "lattice_gaussian", (right, "scale * self.normal(shape)"))


def gradients_with_noise_in_plain_doubles(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, dpsgd.DPSGD, "noised", ("torch.round", ""))


# --- what leaves ------------------------------------------------------------------------------------------------------


def real_rows_pretrain_the_networks(patch: pytest.MonkeyPatch) -> None:
    """By a plain optimiser, as the population should: the critic's penalty sees them, and the generator through it."""
    honest = "marginal_model.population(marginal_model.natural_size, rng, self.options.sweeps, progress)"
    rewrite(patch, anchored.NetworkTrainer, "fit", (honest, "behind_the_fence(table).values"))


def model_keeps_the_rows_it_learned(patch: pytest.MonkeyPatch) -> None:
    """A sampler that starts from the table itself."""
    honest = "marginal_model.fitted(marginal_model.natural_size, rng, self.options.sweeps, progress)"
    rewrite(patch, marginals.Marginals, "fit", (honest, "(marginal_model, behind_the_fence(table).values)"))


def public_face_with_exact_figures(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, evidence.Evidence, "public", ('"handling": None', '"handling": self.handling'))


def public_face_with_the_attacks_figures(patch: pytest.MonkeyPatch) -> None:
    rewrite(patch, evidence.Evidence, "public", ("_by_family(self.audit)", "self.audit.findings"))
