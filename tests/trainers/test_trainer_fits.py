"""Every trainer on a small table: what it charges, samples, saves and must not hold. LEAKS 16, 21, 24 and 27; replay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from privsynth import Policy, Synthesizer, pipeline
from privsynth.errors import InputError, PolicyError
from privsynth.ledger.ledger import Ledger
from privsynth.marginals import choice as rules
from privsynth.marginals import measure
from privsynth.pipeline import fit
from privsynth.planning import make_plan
from privsynth.policy.options import OPTIONS, check_options
from privsynth.privacy.mechanisms.dpsgd import DPSGD
from privsynth.privacy.mechanisms.tables import Histograms, Marginals
from privsynth.privacy.plan import Plan
from privsynth.trainers import TRAINERS

pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook")

COLUMNS = [f"c{j}" for j in range(8)]
VALUES = [f"v{i}" for i in range(12)]
NETWORK = "steps: 3, pretrain_steps: 4, sweeps: 4, hidden: 8, batch: 64"
SETTINGS = {
    "marginals": "{name: marginals, options: {sweeps: 4}}",
    "ctgan": f"{{name: ctgan, options: {{{NETWORK}, latent: 2}}}}",
    "vae": f"{{name: vae, options: {{{NETWORK}, latent: 2}}}}",
    "autoregressive": f"{{name: autoregressive, options: {{{NETWORK}}}}}",
    "ctgan alone": f"{{name: ctgan, options: {{anchor: 0, {NETWORK}, latent: 2}}}}",
    "vae alone": f"{{name: vae, options: {{anchor: 0, calibrate: false, {NETWORK}, latent: 2}}}}",
    "autoregressive alone": f"{{name: autoregressive, options: {{anchor: 0, {NETWORK}}}}}",
}
EACH = pytest.mark.parametrize("trainer", list(SETTINGS))


def policy(trainer: str, more: str = "", unit: str = "row", rows: int | None = 400) -> Policy:
    lines = [f"  {c}: {{kind: category, categories: [{', '.join(VALUES)}], nullable: false}}" for c in COLUMNS]
    text = "\n".join([
        "privsynth: 1", f"dataset: {{id: tiny{'' if rows is None else f', rows: {rows}'}}}", f"unit: {unit}",
        "budget: {epsilon: 1.0, delta: 1.0e-6}", "columns:", *lines,
        "  who: {kind: id, role: direct_identifier, release: drop}",
        "  n: {kind: integer, bounds: [0, 30]}",
        f"trainer: {SETTINGS[trainer]}", more,
    ])  # fmt: skip
    return Policy.from_text(text)


def table(rows: int = 400, seed: int = 0, canaries: int = 0) -> pd.DataFrame:
    """Ordinary rows hold the first three values; canaries are unique mixtures of all others."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3, (rows, len(COLUMNS)))
    values[:canaries] = rng.integers(3, len(VALUES), (canaries, len(COLUMNS)))
    frame = pd.DataFrame({c: np.array(VALUES)[values[:, j]] for j, c in enumerate(COLUMNS)})
    return frame.assign(who=[f"P{i // 2}" for i in range(rows)], n=rng.integers(0, 20, rows))


@pytest.fixture(autouse=True, scope="module")
def plan_once() -> Iterator[None]:
    """The same policy has the same plan; calibrating it anew for every fit would take most of the time."""
    made: dict[str, Plan] = {}

    def planned(policy: Policy) -> Plan:
        if policy.sha256 not in made:
            made[policy.sha256] = make_plan(policy)
        return made[policy.sha256]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "make_plan", planned)
        yield


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Synthesizer, Ledger, Path]]:
    """Each trainer fitted once on a table with 60 canaries, and saved."""
    found = {}
    for name in SETTINGS:
        folder = tmp_path_factory.mktemp("model")
        ledger = Ledger(f"sqlite:///{folder / 'ledger.sqlite'}")
        synthesizer = fit(policy(name), table(canaries=60), ledger=ledger)
        synthesizer.save(folder / "model")
        found[name] = (synthesizer, ledger, folder / "model")
    return found


@EACH
def test_the_ledger_shows_the_plan_and_nothing_else(trainer: str, fitted: Any) -> None:
    synthesizer, ledger, _ = fitted[trainer]
    entries = ledger.entries()
    assert [e["kind"] for e in entries] == ["reserve", "identify", *["charge"] * (len(entries) - 3), "settle"]
    planned = json.loads(entries[0]["body"])["plan"]
    charged = [json.loads(e["body"]) for e in entries[2:-1]]
    assert charged == [{"name": line["name"], "event": line["event"]} for line in planned]
    assert ("marginals" in [c["name"] for c in charged]) == ("alone" not in trainer)
    assert ("dp-sgd" in [c["name"] for c in charged]) == (trainer != "marginals")
    assert synthesizer.privacy.epsilon <= 1.0 and ledger.verify() == []


def test_measured_counts_and_units_are_charged_too(own_ledger: str) -> None:
    counting, ledger = policy("marginals", rows=None), Ledger(own_ledger)
    fit(counting, table(), ledger=ledger)
    by_unit = Policy.from_text("\n".join(line for line in _text(counting, "{column: who, max_rows: 2}")))
    fit(by_unit, table(), ledger=ledger)
    charged = [json.loads(e["body"])["name"] for e in ledger.entries() if e["kind"] == "charge"]
    assert charged == [
        "unit numbers", "unreadable cells", "row count", "histograms", "marginals", "second look",
        "unit numbers", "unreadable cells", "unit sizes", "histograms", "marginals", "second look",
    ]  # fmt: skip


def _text(old: Policy, unit: str) -> list[str]:
    lines = [f"  {c}: {{kind: category, categories: [{', '.join(VALUES)}], nullable: false}}" for c in COLUMNS]
    return ["privsynth: 1", "dataset: {id: tiny}", f"unit: {unit}", "budget: {epsilon: 1.0, delta: 1.0e-6}", "columns:",
            *lines, "  who: {kind: id, role: direct_identifier, release: drop}", "  n: {kind: integer, bounds: [0, 30]}",
            f"trainer: {SETTINGS[old.model.trainer.name]}"]  # fmt: skip


@EACH
@pytest.mark.parametrize("n", [1, 10, 5000])
def test_samples_of_every_size(trainer: str, n: int, fitted: Any) -> None:
    rows = fitted[trainer][0].sample(n)
    assert list(rows.columns) == [*COLUMNS, "n"] and len(rows) == n
    assert rows[COLUMNS].isin(VALUES).all(axis=None)
    assert rows["n"].dropna().astype(float).between(0, 30).all()


@EACH
def test_a_number_of_rows_that_is_none_is_told(trainer: str, fitted: Any) -> None:
    for bad in (0, -3, 2.5):
        with pytest.raises(InputError):
            fitted[trainer][0].sample(bad)


@EACH
def test_a_saved_model_comes_back_whole(trainer: str, fitted: Any) -> None:
    synthesizer, _, folder = fitted[trainer]
    again = Synthesizer.load(folder)
    mine, theirs = synthesizer.model.tensors(), again.model.tensors()
    assert mine.keys() == theirs.keys()
    assert all(np.array_equal(mine[k], theirs[k]) and mine[k].dtype == theirs[k].dtype for k in mine)
    assert again.model.settings() == synthesizer.model.settings()
    assert again.privacy == synthesizer.privacy and again.facts == synthesizer.facts
    assert again.codec.sizes == synthesizer.codec.sizes and again.layout == synthesizer.layout
    one, two = synthesizer.sample(40, seed=1), again.sample(40, seed=1)
    assert list(one.columns) == list(two.columns) and list(one.dtypes) == list(two.dtypes)
    assert synthesizer.sample(40, seed=1).equals(one) and not synthesizer.sample(40, seed=2).equals(one)


def test_a_damaged_model_is_told(fitted: Any, tmp_path: Path) -> None:
    folder = fitted["marginals"][2]
    tensors, meta = (folder / "model.safetensors").read_bytes(), (folder / "model.json").read_text()
    for broken, text in ((tensors[:100], meta), (tensors, "{}"), (tensors, meta.replace("marginals", "vae"))):
        (tmp_path / "model.safetensors").write_bytes(broken)
        (tmp_path / "model.json").write_text(text)
        with pytest.raises(InputError):
            Synthesizer.load(tmp_path)


# --- no data inside ---------------------------------------------------------------------------------------------------


def canaries_in(folder: Path) -> int:
    """Canary rows whose codes stand side by side somewhere in the model's files, in any usual type, or as text."""
    content = b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
    rows = table(canaries=60).iloc[:60][COLUMNS]
    codes = rows.apply(lambda column: column.str[1:].astype(int)).to_numpy()
    found = 0
    for code, text in zip(codes, rows.to_numpy(), strict=True):
        needles = [code.astype(kind).tobytes() for kind in (np.int32, np.int64, np.uint8, np.int16, np.float32, float)]
        needles += [sep.join(text).encode() for sep in (",", '", "', '","')]
        found += any(needle in content for needle in needles)
    return found


@EACH
def test_no_row_stands_in_the_model(trainer: str, fitted: Any) -> None:
    assert canaries_in(fitted[trainer][2]) == 0


def test_the_scan_finds_rows_where_there_are_some(fitted: Any, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    (tmp_path / "text").mkdir()
    rows = table(canaries=60)
    codes = rows[COLUMNS].apply(lambda column: column.str[1:].astype(int)).to_numpy()
    (tmp_path / "codes").mkdir()
    save_file({"rows": np.ascontiguousarray(codes.astype(np.int32))}, tmp_path / "codes" / "model.safetensors")
    (tmp_path / "text" / "model.json").write_text(json.dumps({"rows": rows[COLUMNS].values.tolist()}))
    assert canaries_in(tmp_path / "codes") == 60 and canaries_in(tmp_path / "text") == 60


def test_few_canaries_come_out(fitted: Any) -> None:
    """At epsilon 1 a sample hardly ever repeats one of sixty unique people: there are 4 * 10^7 such mixtures."""
    rows = table(canaries=60).iloc[:60]
    theirs = set(map(tuple, rows[COLUMNS].to_numpy()))
    for name in SETTINGS:
        assert not theirs & set(map(tuple, fitted[name][0].sample(3000)[COLUMNS].to_numpy()))


# --- replay: every mechanism's output frozen, another table behind it ---------------------------------------------------


def frozen_dpsgd(self: DPSGD, rows: Any, randomness: Any) -> None:
    import torch

    for step in range(self.event.steps):
        for p in self.module.parameters():
            p.grad = torch.full_like(p, 0.01)
        self.after(step)


def replayed(trainer: str, data: pd.DataFrame, folder: Path, patch: pytest.MonkeyPatch) -> bytes:
    """All bytes of the model learned from `data` while the mechanisms always say the same."""

    def histograms(self: Histograms, rows: Any, randomness: Any) -> Any:
        return [np.linspace(1, 60, size) for size in self.sizes]

    def marginals(self: Marginals, rows: Any, randomness: Any) -> Any:
        shapes = {table: [self.sizes[c] for c in table] for table in self.tables}
        return {table: np.linspace(0, 9, int(np.prod(shape))).reshape(shape) for table, shape in shapes.items()}

    patch.setattr(Histograms, "answer", histograms)
    patch.setattr(Marginals, "answer", marginals)
    patch.setattr(DPSGD, "answer", frozen_dpsgd)
    fit(policy(trainer, "seed: 3"), data, ledger="sqlite://").save(folder)
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


@EACH
def test_nothing_reaches_the_model_but_through_a_mechanism(
    trainer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replayed(trainer, table(400, 1), tmp_path / "one", monkeypatch)
    two = replayed(trainer, table(333, 2, canaries=200), tmp_path / "two", monkeypatch)
    assert one == two


def test_replay_finds_a_twin_that_peeks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from privsynth.marginals import measure
    from privsynth.table import private as fence

    honest = measure.measure_marginals
    monkeypatch.setattr(
        measure, "measure_marginals",
        lambda table, codec, target, run: replace(
            honest(table, codec, target, run), signal_weight=1 + len(fence._FENCED[table]) / 1e4
        ),
    )  # fmt: skip
    one = replayed("marginals", table(400, 1), tmp_path / "one", monkeypatch)
    two = replayed("marginals", table(333, 2), tmp_path / "two", monkeypatch)
    assert one != two


# --- conditions and options -------------------------------------------------------------------------------------------


def test_conditions_follow_released_shares_and_are_met(fitted: Any) -> None:
    import torch

    torch.manual_seed(1)
    network = fitted["ctgan"][0].model.network
    _, codes, condition = network._generate(6000)
    given = codes >= 0
    assert torch.all(given.sum(1) == 1) and torch.all(condition.sum(1) == 1)
    columns = given.float().argmax(1)
    at = network.onehot.offset[columns] + codes.gather(1, columns[:, None])[:, 0]
    assert torch.all(condition.gather(1, at[:, None]) == 1)
    for j, share in enumerate(network.condition_shares.split(network.onehot.sizes)):
        seen = torch.bincount(codes[:, j][given[:, j]], minlength=len(share)) / given[:, j].sum()
        assert 0.5 * (seen - share).abs().sum() < 0.1
    torch.manual_seed(1)
    drawn = network.draw(6000)
    assert torch.equal(drawn[given], codes[given])


@pytest.mark.parametrize("trainer", [name for name in SETTINGS if name != "marginals"])
def test_networks_are_trained_by_the_noisy_gradients(
    trainer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DP-SGD takes part: other gradients end in other weights."""
    monkeypatch.setitem(SETTINGS, trainer, SETTINGS[trainer].replace("steps: 3,", "steps: 9,", 1))
    one = replayed(trainer, table(), tmp_path / "one", monkeypatch)

    def other(self: DPSGD, rows: Any, randomness: Any) -> None:
        import torch

        for step in range(self.event.steps):
            for p in self.module.parameters():
                p.grad = torch.linspace(-1, 1, p.numel(), dtype=p.dtype).reshape(p.shape)
            self.after(step)

    monkeypatch.setattr("test_trainer_fits.frozen_dpsgd", other)
    assert replayed(trainer, table(), tmp_path / "two", monkeypatch) != one


@pytest.mark.parametrize("unit", ["row", "{column: who, max_rows: 2}"])
@pytest.mark.parametrize("cells", [1_000, 9])
def test_a_table_of_many_cells_buys_what_fits(unit: str, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for where in (rules, measure):
        monkeypatch.setattr(where, "MAX_CELLS", cells)
    mechanisms: dict[str, Marginals] = {}
    query = Marginals.query

    def watched(self: Marginals, rows: Any) -> Any:
        mechanisms[self.name] = self
        return query(self, rows)

    monkeypatch.setattr(Marginals, "query", watched)
    made = fit(policy("marginals", f"release: {{rows: {cells}}}", unit), table(), ledger="sqlite://")
    assert list(mechanisms) == ["relations", "marginals"]
    sizes, tables = mechanisms["marginals"].sizes, mechanisms["marginals"].tables
    assert sum(sizes[a] * sizes[b] for a, b in tables) <= cells and (len(tables) > 0) == (cells > 9)
    assert len(made.sample(50)) == 50


@pytest.mark.parametrize(
    "name, options, rule",
    [
        ("marginals", {"steps": 3}, "unknown option"),
        ("marginals", {"sweeps": 3}, "greater than or equal to 4"),
        ("auto", {"epochs": 3}, "unknown option"),
        ("ctgan", {"anchor": 1.0}, "less than 1"),
        ("ctgan", {"anchor": -0.1}, "greater than or equal to 0"),
        ("ctgan", {"steps": 0}, "greater than or equal to 1"),
        ("ctgan", {"steps": 2.5}, "integer"),
        ("vae", {"max_grad_norm": 0}, "greater than 0"),
        ("vae", {"max_grad_norm": float("nan")}, "1000"),
        ("vae", {"sampling_rate": 1.5}, "less than or equal to 1"),
        ("vae", {"learning_rate": "fast"}, "valid number"),
        ("vae", {"hidden": float("inf")}, "finite number"),
        ("autoregressive", {"latent": 4}, "unknown option"),
    ],
)
def test_wrong_options_are_told(name: str, options: dict[str, Any], rule: str) -> None:
    [(key, said, hint)] = check_options(name, options)
    assert key == next(iter(options)) and rule in said and f"{key}:" not in said
    assert ("options of" in hint) == ("unknown option" in said)


@pytest.mark.parametrize(
    "name, options, rule, hint",
    [
        ("ctgan", {"steps": True}, "YAML reads this as a truth value, not as a valid number", ""),
        ("ctgan", {"anchor": False}, "as a truth value", ""),
        ("vae", {"sampling_rate": True}, "as a truth value", ""),
        ("vae", {"steps": "300"}, "YAML reads this as text, not as a valid number", ""),
        ("auto", {"sweeps": "24"}, "as text", ""),
        ("vae", {"learning_rate": "1e-4"}, "write one such as 300 or 5.0e-4, no quotes", ""),
        ("ctgan", {"calibrate": 1}, "should be true or false", ""),
        ("ctgan", {"calibrate": "yes"}, "should be true or false", ""),
        ("ctgan", {"device": True}, "True: should be 'auto' or 'cpu'", ""),
        ("ctgan", {"anchor": 2}, "2: should be less than 1", ""),
        (
            "ctgan",
            {"pretrain_step": 2},
            "unknown option `pretrain_step`",
            "did you mean `pretrain_steps`? options of ctgan: ",
        ),
        ("auto", {"sweps": 5}, "unknown option `sweps`", "did you mean `sweeps`? options of auto: sweeps"),
        (
            "marginals",
            {"steps": 5},
            "unknown option `steps`",
            "ctgan, vae, autoregressive have it; options of marginals",
        ),
        (
            "auto",
            {"steps": 5},
            "`auto` takes no `steps`, an option of ctgan, vae, auto",
            "name a trainer to set this, as in",
        ),
        ("auto", {"latent": 5}, "`auto` takes no `latent`, an option of ctgan, vae", "`trainer: {name: ctgan, ...}`"),
    ],
)
def test_options_are_taken_as_written(name: str, options: dict[str, Any], rule: str, hint: str) -> None:
    [(key, said, shown)] = check_options(name, options)
    assert key == next(iter(options)) and rule in said and hint in shown and bool(hint) == bool(shown)


def test_right_options_pass_and_wrong_ones_stop_the_policy() -> None:
    assert set(TRAINERS) | {"auto"} == set(OPTIONS)
    assert list(check_options("ctgan", {"anchor": 0, "steps": 1, "sampling_rate": 1.0})) == []
    assert len(list(check_options("ctgan", {"anchor": 2, "steps": 0, "packs": 10}))) == 3
    with pytest.raises(PolicyError, match="packs"):
        SETTINGS["bad"] = "{name: ctgan, options: {packs: 10}}"
        try:
            policy("bad")
        finally:
            del SETTINGS["bad"]
