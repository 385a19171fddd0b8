"""Any number of rows, block by block, and rows that are given in part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from privsynth import Policy, Synthesizer
from privsynth.encoding.codec import Codec
from privsynth.encoding.column_codec import ColumnCodec
from privsynth.encoding.domain import STRATUM, ColumnDomain, Domain
from privsynth.errors import InputError
from privsynth.evidence import Privacy
from privsynth.pipeline import fit
from privsynth.policy.options import NetworkOptions
from privsynth.progress import silent
from privsynth.release import write_table
from privsynth.sampling.output import Layout, OutputColumn
from privsynth.table.values import Form
from privsynth.trainers.autoregressive import FillingModel, MaskedPrediction

pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook")
NETWORK = "{name: autoregressive, options: {steps: 2, pretrain_steps: 200, sweeps: 4, hidden: 24, batch: 64}}"


def fitted(text: str, table: pd.DataFrame, *changes: tuple[str, str]) -> Synthesizer:
    for old, new in (("release: drop", 'release: regenerate, pattern: "V-###"'), *changes):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return fit(Policy.from_text(text), table, ledger="sqlite://")


@pytest.fixture(scope="module")
def clinic(clinic_text: str, clinic_table: Callable[..., pd.DataFrame]) -> Synthesizer:
    table = clinic_table().replace({"sex": {"F": "1", "M": "2"}})
    seeded = (
        clinic_text + "seed: 1\n"
    )  # in a run of ten, noise makes some moments of the mark "?", and text of their column
    return fitted(seeded, table, ("[F, M]", "[1, 2]"), ("generator: name", "generator: email"))


# --- streaming -------------------------------------------------------------------------------------------------------


def test_blocks_are_all_the_rows_and_all_alike(clinic: Synthesizer) -> None:
    blocks = list(clinic.sample_blocks(250, seed=1, block=100))
    assert [len(block) for block in blocks] == [83, 83, 84]
    assert all(list(b) == list(blocks[0]) and (b.dtypes == blocks[0].dtypes).all() for b in blocks)
    whole = clinic.sample(250, seed=1)
    assert list(blocks[0]) == list(whole)
    rows = pd.concat(blocks)
    assert rows["visit"].nunique() == rows["name"].nunique() == 250, "identifiers go on from block to block"
    assert not blocks[0]["admitted"].reset_index(drop=True).equals(blocks[1]["admitted"].reset_index(drop=True))
    both = rows["admitted"].notna() & rows["discharged"].notna()
    assert (rows["admitted"][both] <= rows["discharged"][both]).all()


@pytest.mark.parametrize("block", [120, 200_000])
def test_one_block_is_what_sample_gives(clinic: Synthesizer, block: int) -> None:
    (only,) = clinic.sample_blocks(120, seed=4, block=block)
    pd.testing.assert_frame_equal(only, clinic.sample(120, seed=4), check_dtype=False)


@pytest.mark.parametrize("n, block", [(1, 1), (5, 2), (101, 100)])
def test_blocks_of_every_size(clinic: Synthesizer, n: int, block: int) -> None:
    sizes = [len(rows) for rows in clinic.sample_blocks(n, block=block)]
    assert sum(sizes) == n and min(sizes) >= 1 and max(sizes) <= block


def test_csv_and_parquet_have_the_same_content(clinic: Synthesizer, tmp_path: Path) -> None:
    frame = pd.concat(clinic.sample_blocks(300, seed=2, block=70))
    for name in ("t.csv", "t.parquet"):
        write_table(clinic.layout, clinic.sample_blocks(300, seed=2, block=70), tmp_path / name)
    write_table(clinic.layout, frame, tmp_path / "at_once.csv")
    assert (tmp_path / "t.csv").read_bytes() == (tmp_path / "at_once.csv").read_bytes()
    assert pq.ParquetFile(tmp_path / "t.parquet").num_row_groups == 5
    text = pd.read_csv(tmp_path / "t.csv", dtype=str, na_values=["?"])
    typed = pd.read_parquet(tmp_path / "t.parquet")
    assert list(text) == list(typed) and len(text) == len(typed) == 300
    for name in typed:
        write = (lambda v: str(int(v))) if name in ("sex", "age") else str
        shown = typed[name].map(write, na_action="ignore")
        assert text[name].fillna("").tolist() == shown.fillna("").tolist(), name


def test_a_block_without_any_value_keeps_its_type(clinic: Synthesizer, tmp_path: Path) -> None:
    rows = clinic.sample(6, seed=1)
    empty = rows.assign(ward=None, sex=pd.NA, weight=np.nan, admitted=pd.NaT)
    write_table(clinic.layout, iter([empty, rows]), tmp_path / "t.parquet")
    assert {f.name: str(f.type) for f in pq.read_schema(tmp_path / "t.parquet")} == {
        "visit": "string", "name": "string", "sex": "int64", "ward": "string", "age": "int64", "weight": "double",
        "admitted": "date32[day]", "discharged": "date32[day]", "ill": "string",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_what_stops_midway_leaves_no_file(clinic: Synthesizer, tmp_path: Path, name: str) -> None:
    def stops() -> Iterator[pd.DataFrame]:
        yield clinic.sample(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table(clinic.layout, stops(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / name).write_text("earlier")
    with pytest.raises(KeyboardInterrupt):
        write_table(clinic.layout, stops(), tmp_path / name)
    assert (tmp_path / name).read_text() == "earlier" and len(list(tmp_path.iterdir())) == 1


def test_progress_rises_over_all_blocks(clinic: Synthesizer) -> None:
    shares: list[float] = []
    list(clinic.sample_blocks(100, block=25, progress=lambda what, share: shares.append(share)))
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf"), True, np.True_, "7", 0, -1, 2.5, [3]])
def test_a_number_of_rows_that_is_none_is_told(clinic: Synthesizer, bad: Any) -> None:
    for call in (clinic.sample, clinic.sample_blocks, lambda n: clinic.sample_blocks(5, block=n)):
        with pytest.raises(InputError, match="whole number of at least 1"):
            call(bad)
    assert len(clinic.sample(np.int64(3))) == len(clinic.sample(3.0)) == 3


def test_two_samples_are_two_samples(clinic: Synthesizer) -> None:
    """The population of `marginals` is a start: handed out as it is, two samples of its size would be the same rows."""
    size = len(clinic.model.population)
    one, two = (clinic.model.sample(size, np.random.default_rng(seed), silent) for seed in (1, 2))
    assert sorted(map(tuple, one)) != sorted(map(tuple, two))
    order = np.lexsort(one.T), np.lexsort(two.T)
    assert (one[order[0]] == two[order[1]]).all(1).mean() < 0.5


# --- rows that are given in part -------------------------------------------------------------------------------------

SIZES = (2, 3, 4)
JOINT = np.random.default_rng(1).dirichlet(np.full(24, 0.3)).reshape(SIZES)
ROWS = 20_000


def known_law(*more: ColumnDomain, mix: tuple[float, ...] = (), joint: np.ndarray = JOINT) -> Synthesizer:
    """A model without privacy of columns a, b, c (and more), whose joint distribution is known."""
    import torch

    torch.manual_seed(0)
    columns = [
        ColumnDomain("abc"[j], "category", tuple(f"{'abc'[j]}{i}" for i in range(n))) for j, n in enumerate(SIZES)
    ]
    parts = []
    for j, column in enumerate([*columns, *more]):
        shares = np.append(joint.sum(tuple(set(range(joint.ndim)) - {j})), 0.0)
        parts.append(ColumnCodec(column, np.arange(len(shares)), shares, shares, np.full(len(shares), 1e-3)))
    codec = Codec(Domain((*columns, *more), 1000, mix), tuple(parts), 1000.0)
    network = MaskedPrediction(codec, NetworkOptions(hidden=32))
    draws = np.random.default_rng(2).choice(joint.size, 40_000, p=joint.ravel())
    network.pretrain(np.stack(np.unravel_index(draws, joint.shape), 1), 1200, silent)
    layout = Layout(tuple(OutputColumn(n, "keep", None, None, Form("category"), "string") for n in "abc"), ())
    privacy = Privacy.model_construct(unit="row")
    return Synthesizer("autoregressive", codec, FillingModel(codec, None, network), layout, privacy)


@pytest.fixture(scope="module")
def lawful() -> Synthesizer:
    return known_law()


def counted(rows: pd.DataFrame) -> np.ndarray:
    """(2, 3, 4) shares of the rows."""
    found = np.zeros(SIZES)
    np.add.at(found, tuple(rows[n].str[1:].astype(int) for n in "abc"), 1 / len(rows))
    return found


def slice_of(given: dict[str, str], joint: np.ndarray = JOINT) -> np.ndarray:
    """The joint distribution where it agrees with what is given."""
    here = tuple(int(given[n][1:]) if n in given else slice(None) for n in "abc")
    law = np.zeros(SIZES)
    law[here] = joint[here] / joint[here].sum()
    return law


@pytest.mark.statistical
@pytest.mark.parametrize("given", [{"a": "a1"}, {"c": "c0"}, {"b": "b2"}, {"a": "a0", "c": "c3"}], ids=str)
def test_samples_given_values_follow_the_joint_distribution(lawful: Synthesizer, given: dict[str, str]) -> None:
    """The network itself may be off by 0.06 in total variation; sampling 20,000 rows of 12 cells adds 0.008 in the mean,
    and 0.02 more than that in fewer than exp(-2 * 20,000 * 0.02^2) = 1e-7 of cases (McDiarmid)."""
    rows = lawful.sample(ROWS, seed=1, given=given)
    assert len(rows) == ROWS and all((rows[n] == value).all() for n, value in given.items())
    assert 0.5 * np.abs(counted(rows) - slice_of(given)).sum() < 0.085
    assert 0.5 * np.abs(counted(rows) - counted(lawful.sample(ROWS, seed=2))).sum() > 0.15, "there is something to tell"


@pytest.mark.statistical
def test_filling_in_what_a_table_lost_leaves_its_distribution(lawful: Synthesizer) -> None:
    """Each cell of rows of the joint is lost with one in two; filled in, they follow it again. False alarms as above."""
    rng = np.random.default_rng(5)
    cells = np.unravel_index(rng.choice(24, ROWS, p=JOINT.ravel()), SIZES)
    whole = pd.DataFrame({n: np.char.add(n, cells[j].astype(str)).astype(object) for j, n in enumerate("abc")})
    lost = whole.mask(rng.random(whole.shape) < 0.5)
    filled = lawful.impute(lost, seed=1)
    assert filled.notna().all(axis=None) and (filled == whole)[lost.notna()].where(lost.notna(), True).all(axis=None)
    assert 0.5 * np.abs(counted(filled) - JOINT).sum() < 0.085
    assert lawful.impute(lost, seed=1).equals(filled) and not lawful.impute(lost, seed=2).equals(filled)


@pytest.mark.statistical
def test_given_samples_have_the_mix_of_the_table() -> None:
    """The network learned few rows of people with many rows; the mix says they are most. c is a0's only with them."""
    law = np.zeros((*SIZES, 2))
    law[..., 0], law[:, :, 3, 1] = 0.8 * JOINT, 0.2 * JOINT.sum(2)
    made = known_law(ColumnDomain(STRATUM, "category", ("1", "2"), nullable=False), mix=(0.2, 0.8), joint=law)
    want = 0.2 * slice_of({"a": "a0"}, JOINT)
    want[0, :, 3] += 0.8 * JOINT.sum(2)[0] / JOINT[0].sum()
    rows = made.sample(ROWS, seed=1, given={"a": "a0"})
    # given a0 the strata's odds are those of the mix, since a is independent of the stratum here
    assert 0.5 * np.abs(counted(rows) - want).sum() < 0.085


@pytest.fixture(scope="module")
def filling(clinic_text: str, clinic_table: Callable[..., pd.DataFrame]) -> Synthesizer:
    """Besides the gap between two dates it keeps a rule that is no gap, across kinds and grid units."""
    rule = '  - {inequality: [admitted, "<=", discharged]}'
    more = f'{rule}\n  - {{inequality: [age, "<", weight]}}'
    trainer = ("{name: marginals, options: {sweeps: 4}}", NETWORK)
    return fitted(clinic_text, clinic_table(), trainer, (rule, more))


def ruled(rows: pd.DataFrame) -> None:
    for small, large, strict in (("admitted", "discharged", False), ("age", "weight", True)):
        both = (rows[small].notna() & rows[large].notna()).to_numpy()
        low, high = rows[small][both], rows[large][both]
        assert ((low < high) if strict else (low <= high)).all()


def test_given_cells_come_back_and_all_others_are_filled(
    filling: Synthesizer, clinic_table: Callable[..., pd.DataFrame], tmp_path: Path
) -> None:
    table = clinic_table(400, 3).drop(columns=["visit"]).assign(ward=lambda t: t["ward"].where(t["ward"] != "north"))
    table["age"] = np.minimum(table["age"].astype(float), table["weight"].astype(float) - 1).round()
    table["weight"] = table["weight"].astype(float) + 0.0123  # finer than the policy's decimals
    table.loc[:99, "ill"] = filling.codec.domain["ill"].categories[0]
    lost = table.mask(np.random.default_rng(4).random(table.shape) < 0.5)
    known_wards = lost["ward"].isin(filling.codec.domain["ward"].categories)
    lost["ward"] = lost["ward"].where(known_wards)
    lost.index = range(1000, 1400)
    before = lost.copy()
    made = filling.impute(lost, seed=1)
    pd.testing.assert_frame_equal(lost, before)
    assert list(made) == [c.name for c in filling.layout.columns] and list(made.index) == list(lost.index)
    assert made.notna().all(axis=None)
    shown = made.assign(**{n: made[n].dt.strftime("%Y-%m-%d") for n in ("admitted", "discharged")})
    for name in lost:
        there = lost[name].notna()
        assert shown[name][there].tolist() == lost[name][there].tolist(), name
    ruled(made)
    lost.to_csv(tmp_path / "lost.csv", index=False, na_rep="?")
    again = filling.impute(tmp_path / "lost.csv", seed=1)
    pd.testing.assert_frame_equal(again, made.reset_index(drop=True), check_dtype=False)


def test_a_stay_keeps_its_length_whichever_side_is_given(filling: Synthesizer) -> None:
    """Real stays are below 30 days, in ten years: a smaller side that did not follow from the gap would be far off."""
    days = {}
    for name in ("admitted", "discharged"):
        rows = filling.sample(500, seed=1, given={name: "2019-06-15"})
        assert (rows[name] == pd.Timestamp("2019-06-15")).all()
        ruled(rows)
        days[name] = (rows["discharged"] - rows["admitted"]).dt.days.dropna()
        assert len(days[name]) > 400
    assert abs(days["admitted"].median() - days["discharged"].median()) < 200


def test_samples_given_values_in_blocks_and_files(
    filling: Synthesizer, tmp_path: Path, command: Callable[..., Any]
) -> None:
    blocks = list(filling.sample_blocks(250, seed=1, block=100, given={"sex": "F", "age": 40}))
    rows = pd.concat(blocks)
    assert len(rows) == 250 and (rows["sex"] == "F").all() and (rows["age"] == 40).all()
    assert rows["visit"].nunique() == 250 and rows["weight"].dropna().nunique() > 5
    ruled(rows)
    filling.save(tmp_path / "model")
    out, words = tmp_path / "t.csv", ["--given", "admitted=2020-02-29", "--given", "age=41"]
    said = command("sample", tmp_path / "model", "-n", 30, "--out", out, *words)
    assert said.code == 0, said.err
    made = pd.read_csv(out)
    assert len(made) == 30 and (made["admitted"] == "2020-02-29").all() and (made["age"] == 41).all()
    for wrong, rule in (
        ("age", "COLUMN=VALUE"),
        ("age=old", "cannot be read"),
        ("colour=red", "not a released column"),
    ):
        said = command("sample", tmp_path / "model", "-n", 5, "--out", tmp_path / "none.csv", "--given", wrong)
        assert said.code == 2 and rule in said.err and not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize(
    "given, rule",
    [
        ({"colour": "red"}, "is not a released column"),
        ({"sex": "X"}, "not among its categories"),
        ({"age": 111}, "outside of its bounds"),
        ({"age": 40.5}, "not a whole number"),
        ({"age": "old"}, "cannot be read as a number"),
        ({"weight": float("inf")}, "cannot be read as a number"),
        ({"weight": -0.1}, "outside of its bounds"),
        ({"admitted": "soon"}, "cannot be read as a date"),
        ({"admitted": "2014-12-31"}, "outside of its bounds"),
        ({"age": None}, "without a value"),
        ({"age": float("nan")}, "without a value"),
        ({"name": "Anna"}, "invented identifiers"),
        ({"admitted": "2020-02-02", "discharged": "2020-02-01"}, "break the rule admitted <= discharged"),
        ({"age": 70, "weight": 70}, "break the rule age < weight"),
    ],
    ids=str,
)
def test_what_cannot_be_given_is_told(filling: Synthesizer, given: dict[str, Any], rule: str) -> None:
    for call in (filling.sample, filling.sample_blocks):
        with pytest.raises(InputError, match=rule):
            call(5, given=given)
    if "value" not in rule and "identifiers" not in rule:
        with pytest.raises(InputError, match=rule):
            filling.impute(pd.DataFrame([given]))


def test_tables_that_cannot_be_filled_in_are_told(filling: Synthesizer, clinic: Synthesizer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no rows"):
        filling.impute(pd.DataFrame({"age": []}))
    with pytest.raises(InputError) as caught:
        filling.impute(pd.DataFrame({"age": [3, 4711], "sex": ["F", "secret"], "visitor": [1, 2]}))
    assert len(caught.value.problems) == 3 and not {"4711", "secret"} & set(str(caught.value).split())
    (tmp_path / "headless.csv").write_text("Smith,4711\n3,4\n")
    with pytest.raises(InputError, match="column 1: is not a released column") as caught:
        filling.impute(tmp_path / "headless.csv")
    assert "Smith" not in str(caught.value) and "4711" not in str(caught.value)
    for call in (lambda: clinic.impute(pd.DataFrame({"age": [3]})), lambda: clinic.sample(5, given={"age": 3})):
        with pytest.raises(
            InputError, match="was trained by `marginals`; conditional samples need the trainer `autoreg"
        ):
            call()


def test_a_column_of_nothing_and_identifiers(filling: Synthesizer) -> None:
    table = pd.DataFrame(
        {"age": [None, None], "admitted": [pd.NaT, pd.NaT], "sex": [None, "F"], "visit": ["X-1", None]}
    )
    made = filling.impute(table)
    assert made.notna().all(axis=None) and made["sex"][1] == "F"
    assert made["visit"][0] == "X-1" and made["visit"][1].startswith("V-")
