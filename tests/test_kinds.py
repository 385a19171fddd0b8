"""Every kind the whole way, from a table as people have it to a sample: what it holds, how it is written, in which types.

Each fit has a seed, so that its noise is the same on every run. Shares are compared at epsilon 50 and 4,000 rows, where the
noise of one is below half a point; a sample follows the model's shares to the row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from privsynth import Policy, Synthesizer, fit, run
from privsynth.release import write_table

ROWS = 4_000
HEAD = """\
privsynth: 1
dataset: {id: kinds, rows: ROWS}
unit: row
seed: 1
budget: {epsilon: 50, delta: 1.0e-5}
trainer: {name: marginals, options: {sweeps: 4}}
columns:
"""
PEOPLE = """\
  smokes: {kind: boolean}
  drinks: {kind: boolean}
  coded: {kind: boolean, missing: [9]}
  mixed: {kind: boolean}
  came: {kind: datetime, bounds: [2015-01-01, 2024-12-31]}
  left: {kind: datetime, bounds: [2015-01-01, 2024-12-31]}
  woke: {kind: time, format: "%H:%M"}
  waited: {kind: duration, format: clock, bounds: ["00:00", "72:00:00"]}
  reported: {kind: date, bounds: [2010-01-01, 2024-12-31]}
  born: {kind: date, bounds: [1900-01-01, 2010-12-31], format: "%d.%m.%Y"}
  valid_to: {kind: date, bounds: [1500-01-01, 9999-12-31]}
  answer: {kind: integer, bounds: [0, 10], missing: [-8, -9]}
  lab: {kind: number, bounds: [0, 60], decimals: 1, censored: {below: "<0.6", above: ">60"}}
  age: {kind: integer, bounds: [0, 89], censored: {above: "90+"}, cuts: [18, 65]}
  ward: {kind: category, categories: [paediatrics, surgery, geriatrics]}
constraints:
  - {inequality: [came, "<=", left]}
"""


def policy_of(columns: str, rows: int = ROWS) -> Policy:
    return Policy.from_text(HEAD.replace("ROWS", str(rows)) + columns)


def people(rows: int = ROWS) -> pd.DataFrame:
    """As a CSV would hold it: truth values in five spellings, moments of which a third are full hours, births of which 11 % are
    1 January 1900, reports at month ends, dates that never end, codes for missing answers, censored values."""
    rng = np.random.default_rng(0)

    def some(words: list[str], *odds: float) -> Any:
        return rng.choice(words, rows, p=odds)

    came = np.datetime64("2015-01-01T00:00:00") + rng.integers(0, 3_600 * 86_400, rows)
    came = np.where(rng.random(rows) < 0.3, came.astype("datetime64[h]").astype("datetime64[s]"), came)
    left = came + rng.lognormal(10.5, 1.2, rows).astype(int).clip(0, 20 * 86_400)
    born = np.datetime64("1920-01-01") + rng.integers(0, 33_000, rows)
    born = np.where(rng.random(rows) < 0.11, np.datetime64("1900-01-01"), born)
    old, new = np.datetime64("1500-01-01") + rng.integers(0, 146_000, rows), rng.integers(7_300, 19_000, rows)
    ended = np.where(rng.random(rows) < 0.3, old, new.astype("datetime64[D]"))
    age, lab = rng.integers(0, 95, rows), rng.lognormal(1.5, 1.5, rows)
    months = np.datetime64("2010-01") + rng.integers(1, 180, rows)
    hours, minutes = rng.normal(7, 1.5, rows).clip(0, 23).astype(int), rng.choice([0, 15, 30, 45], rows)
    waited = (rng.lognormal(8, 1, rows) / 60).astype(int)
    return pd.DataFrame({
        "smokes": some(["TRUE", "FALSE"], 0.3, 0.7), "drinks": some(["yes", "no", ""], 0.5, 0.3, 0.2),
        "coded": some(["0", "1", "9", ""], 0.4, 0.3, 0.2, 0.1), "mixed": some(["true", "TRUE", "false"], 0.2, 0.2, 0.6),
        "came": pd.Series(came).dt.strftime("%Y-%m-%d %H:%M:%S"), "left": pd.Series(left).dt.strftime("%Y-%m-%d %H:%M:%S"),
        "woke": [f"{hour:02}:{minute:02}" for hour, minute in zip(hours, minutes, strict=True)],
        "waited": [f"{m // 60:02}:{m % 60:02}:00" for m in waited],
        "reported": ((months + 1).astype("datetime64[D]") - 1).astype(str),
        "born": pd.Series(born.astype("datetime64[s]")).dt.strftime("%d.%m.%Y"),
        "valid_to": np.where(rng.random(rows) < 0.7, np.datetime64("9999-12-31"), ended).astype(str),
        "answer": np.where(rng.random(rows) < 0.25, some(["-8", "-9", ""], 0.4, 0.4, 0.2), rng.integers(0, 11, rows).astype(str)),
        "lab": ["<0.6" if v < 0.6 else ">60" if v > 60 else f"{v:.1f}" for v in lab],
        "age": ["90+" if a >= 90 else str(a) for a in age],
        "ward": np.select([age < 18, age < 65], ["paediatrics", "surgery"], "geriatrics"),
    })  # fmt: skip


def as_text(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Synthesizer, pd.DataFrame, pd.DataFrame]:
    """(the model, the table as text, a sample of as many rows as text, written as a CSV)."""
    folder = tmp_path_factory.mktemp("kinds")
    people().to_csv(folder / "in.csv", index=False)
    synthesizer = fit(policy_of(PEOPLE), folder / "in.csv", ledger="sqlite://")
    write_table(synthesizer.layout, synthesizer.sample_blocks(ROWS, seed=2), folder / "out.csv")
    return synthesizer, as_text(folder / "in.csv"), as_text(folder / "out.csv")


Made = tuple[Synthesizer, pd.DataFrame, pd.DataFrame]


def apart(real: pd.Series, other: pd.Series) -> float:
    """The largest difference between shares of values."""
    one, two = real.value_counts(normalize=True), other.value_counts(normalize=True)
    return float(one.sub(two, fill_value=0).abs().max())


@pytest.mark.parametrize("name", ["smokes", "drinks", "coded", "mixed"])
def test_truth_values_leave_in_the_spellings_they_came_in(made: Made, name: str) -> None:
    """Also where a column has two spellings of one, a code for missing, and blank cells."""
    _, real, sample = made
    assert set(sample[name]) == set(real[name]) and apart(real[name], sample[name]) < 0.01


def test_moments_keep_their_times_of_day(made: Made) -> None:
    _, real, sample = made
    assert sample["came"].str.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d").all()
    clock = sample["came"].str[11:]
    assert clock.nunique() > ROWS / 2, "to the second"
    full = real["came"].str.endswith(":00:00").mean()
    assert full > 0.25 and abs(clock.str.endswith(":00:00").mean() - full) < 0.03
    hours = [frame["came"].str[11:13].astype(int) for frame in (real, sample)]
    assert apart(*hours) < 0.02


def test_an_inequality_of_two_moments_holds_to_the_second_and_keeps_their_distance(made: Made) -> None:
    _, real, sample = made
    stays = []
    for frame in (real, sample):
        came, left = (pd.to_datetime(frame[name]) for name in ("came", "left"))
        assert (came <= left).all()
        stays.append((left - came).dt.total_seconds())
    assert (stays[1] % 60 != 0).mean() > 0.9
    for share in (0.1, 0.5, 0.9):
        assert stays[1].quantile(share) == pytest.approx(stays[0].quantile(share), rel=0.1)


def test_times_and_durations_leave_as_they_came(made: Made) -> None:
    _, real, sample = made
    assert sample["woke"].str.fullmatch(r"\d\d:\d\d").all() and sample["waited"].str.fullmatch(r"\d\d+:\d\d:\d\d").all()
    quarters = [frame["woke"].str[3:].isin(["00", "15", "30", "45"]).mean() for frame in (real, sample)]
    assert quarters[0] == 1 and quarters[1] > 0.97
    assert sample["waited"].str.endswith(":00").mean() > 0.98, "whole minutes"
    early = [(frame["woke"] < "07:00").mean() for frame in (real, sample)]
    assert abs(early[0] - early[1]) < 0.02
    spans = [pd.to_timedelta(frame["waited"]).dt.total_seconds().median() for frame in (real, sample)]
    assert spans[1] == pytest.approx(spans[0], rel=0.05)


def test_month_ends_stay_month_ends(made: Made) -> None:
    _, real, sample = made
    assert pd.to_datetime(real["reported"]).dt.is_month_end.all()
    assert pd.to_datetime(sample["reported"]).dt.is_month_end.mean() > 0.98
    assert apart(real["reported"].str[:4], sample["reported"].str[:4]) < 0.01


def test_a_default_date_at_the_bound_keeps_its_share(made: Made) -> None:
    _, real, sample = made
    share = (real["born"] == "01.01.1900").mean()
    assert 0.09 < share < 0.13 and abs((sample["born"] == "01.01.1900").mean() - share) < 0.015
    assert (sample["born"].str[-4:].astype(int).between(1901, 1918)).mean() < 0.01, "and is not spread over later years"
    assert sample["born"].str.fullmatch(r"\d\d\.\d\d\.\d{4}").all()


def test_dates_of_five_centuries_and_the_one_that_never_comes(made: Made) -> None:
    _, real, sample = made
    for picked in (
        lambda d: d == "9999-12-31", lambda d: d < "1900", lambda d: d < "1700", lambda d: (d > "1990") & (d < "2022"),
    ):  # fmt: skip
        assert abs(picked(sample["valid_to"]).mean() - picked(real["valid_to"]).mean()) < 0.015
    between = (sample["valid_to"] > "2023") & (sample["valid_to"] < "9999-12-31")
    assert between.mean() < 0.01, "noise of empty millennia is no date"


def test_codes_for_missing_answers_are_values_of_their_own(made: Made) -> None:
    _, real, sample = made
    assert apart(real["answer"], sample["answer"]) < 0.015
    for mark in ("-8", "-9", ""):
        assert abs((sample["answer"] == mark).mean() - (real["answer"] == mark).mean()) < 0.015
    assert sample["lab"].ne("").all() and sample["came"].ne("").all(), "of one column, and of no other"


def test_censored_values_keep_their_shares_and_the_others_their_decimals(made: Made) -> None:
    _, real, sample = made
    for name, mark in (("lab", "<0.6"), ("lab", ">60"), ("age", "90+")):
        share = (real[name] == mark).mean()
        assert share > 0.03 and abs((sample[name] == mark).mean() - share) < 0.015, mark
    assert sample["lab"].str.fullmatch(r"<0\.6|>60|\d+\.\d").all()
    measured = [frame["lab"][~frame["lab"].isin(["<0.6", ">60"])].astype(float) for frame in (real, sample)]
    assert measured[1].median() == pytest.approx(measured[0].median(), rel=0.1)


def test_no_bin_reaches_across_a_cut(made: Made) -> None:
    synthesizer, _, sample = made
    column = next(c for c in synthesizer.codec.columns if c.domain.name == "age")
    ages = np.arange(90.0)
    codes = column.bins[column.domain.grid.cell_of(ages)]
    for cut in (18, 65):
        assert not set(codes[ages < cut]) & set(codes[ages >= cut])
    years = sample["age"].replace("90+", "90").astype(int)
    assert ((years < 18) != (sample["ward"] == "paediatrics")).mean() < 0.02, "children stay in paediatrics"
    assert ((years >= 65) != (sample["ward"] == "geriatrics")).mean() < 0.02


def test_a_saved_model_gives_the_same_rows(made: Made, tmp_path: Path) -> None:
    again = Synthesizer.load(made[0].save(tmp_path / "model"))
    pd.testing.assert_frame_equal(again.sample(300, seed=5), made[0].sample(300, seed=5))


@pytest.fixture(scope="module")
def filling(tmp_path_factory: pytest.TempPathFactory) -> tuple[Synthesizer, pd.DataFrame]:
    """A small model that completes rows, and the table that it was fitted to."""
    network = (
        "{name: autoregressive, options: {steps: 20, pretrain_steps: 20, hidden: 16, sweeps: 4, sampling_rate: 0.1}}"
    )
    text = (HEAD.replace("ROWS", str(SMALL)) + PEOPLE).replace("{name: marginals, options: {sweeps: 4}}", network)
    real = people(SMALL)
    path = tmp_path_factory.mktemp("filling") / "in.csv"
    real.to_csv(path, index=False)
    return fit(Policy.from_text(text), path, ledger="sqlite://"), real


def test_rows_are_filled_around_what_is_given(filling: tuple[Synthesizer, pd.DataFrame]) -> None:
    """Each given cell stays as it is, a censored one too; a moment that is given bounds the other."""
    synthesizer, real = filling
    given = real.head(60).copy()
    given.loc[:29, "left"] = given.loc[30:, "came"] = ""
    given.loc[10:19, ["smokes", "answer", "lab", "age", "woke", "waited"]] = ""
    given = given.assign(drinks="yes", coded="1", mixed="")
    found = synthesizer.impute(given.replace("", None), seed=1)
    assert found.notna().all(axis=None) and (found["came"] <= found["left"]).all()
    for name in ("lab", "age", "smokes", "drinks", "coded"):
        kept = given[name] != ""
        assert found[name][kept].astype(str).tolist() == given[name][kept].tolist(), name
    for name, form in (("came", "%Y-%m-%d %H:%M:%S"), ("left", "%Y-%m-%d %H:%M:%S"), ("born", "%d.%m.%Y")):
        kept = given[name] != ""
        assert found[name][kept].dt.strftime(form).tolist() == given[name][kept].tolist(), name
    assert set(found["smokes"]) == {"TRUE", "FALSE"} and set(found["mixed"]) <= {"true", "TRUE", "false"}
    sample = synthesizer.sample(50, seed=1, given={"age": "90+", "smokes": "TRUE", "born": "01.01.1900"})
    assert set(sample["age"].astype(str)) == {"90+"} and set(sample["smokes"]) == {"TRUE"}
    assert (sample["born"] == pd.Timestamp("1900-01-01")).all()


def test_what_is_missing_is_filled_with_a_value_and_not_with_a_code_for_missing(
    filling: tuple[Synthesizer, pd.DataFrame],
) -> None:
    synthesizer, real = filling
    given = real.head(200).assign(answer=["-8", "-9", "", "3"] * 50, coded=["9", "1"] * 100)
    found = synthesizer.impute(given.replace("", None), seed=1)
    assert (
        found["answer"][3::4].astype(int).tolist() == [3] * 50
        and found["coded"][1::2].astype(str).tolist() == ["1"] * 100
    )
    assert found["answer"].astype(int).between(0, 10).all() and set(found["coded"].astype(str)) == {"0", "1"}


@pytest.mark.slow
def test_a_whole_run_with_every_kind(tmp_path: Path) -> None:
    """Attacked, measured and reported; dates beyond those of pandas once ended it when its budget was spent."""
    people(1_500).to_csv(tmp_path / "in.csv", index=False)
    text = (HEAD.replace("ROWS", "1500") + PEOPLE).replace("seed: 1\n", "") + "audit: {effort: quick}\n"
    kinds = ("membership_tpr_at_1pct_fpr", "copied", "singling_out", "linkability", "inference")
    text += f"thresholds: {{{', '.join(f'{kind}: 1' for kind in kinds)}}}\n"  # by chance, a few runs in a hundred are refused
    outcome = run(Policy.from_text(text), tmp_path / "in.csv", tmp_path / "out", ledger="sqlite://")
    sample = as_text(tmp_path / "out" / "release" / "synthetic.csv")
    assert list(sample) == list(people(1)) and len(sample) == 1_500
    shapes = outcome.evidence.utility.column_shapes
    assert shapes is not None and shapes > 0.9


# --- types ------------------------------------------------------------------------------------------------------------

SMALL = 600
TYPED = """\
  flag: {kind: boolean}
  maybe: {kind: boolean}
  tiny: {kind: integer, bounds: [0, 100]}
  short: {kind: integer, bounds: [-500, 500]}
  whole: {kind: integer, bounds: [0, 1000]}
  lost: {kind: integer, bounds: [0, 1000]}
  single: {kind: number, bounds: [0, 1], decimals: 3}
  double: {kind: number, bounds: [0, 1], decimals: 3}
  word: {kind: category, categories: [a, b]}
  level: {kind: category, categories: ["1", "2"]}
  code: {kind: category, categories: ["01", "02"]}
  day: {kind: date, bounds: [2015-01-01, 2024-12-31]}
  moment: {kind: datetime, bounds: [2015-01-01, 2024-12-31]}
  span: {kind: duration, bounds: ["00:00", "200:00:00"]}
"""


def typed_frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    moments = pd.Series(np.datetime64("2015-01-01T00:00:00") + rng.integers(0, 3_000 * 86_400, SMALL))
    lost = pd.Series(rng.integers(0, 1_001, SMALL).astype(float)).mask(rng.random(SMALL) < 0.3)
    return pd.DataFrame({
        "flag": rng.random(SMALL) < 0.3, "maybe": pd.Series(rng.random(SMALL) < 0.3, dtype="boolean").mask(rng.random(SMALL) < 0.3),
        "tiny": rng.integers(0, 101, SMALL).astype(np.int8), "short": pd.Series(rng.integers(-500, 501, SMALL), dtype="Int16"),
        "whole": rng.integers(0, 1_001, SMALL), "lost": lost,
        "single": rng.random(SMALL).round(3).astype(np.float32), "double": rng.random(SMALL).round(3),
        "word": pd.Categorical(rng.choice(["a", "b"], SMALL)), "level": rng.integers(1, 3, SMALL),
        "code": rng.choice(["01", "02"], SMALL), "day": moments.dt.normalize().astype("datetime64[ns]"),
        "moment": moments, "span": pd.to_timedelta(rng.integers(0, 100, SMALL), "h"),
    })  # fmt: skip


def test_the_dtypes_of_a_data_frame_come_back() -> None:
    frame = typed_frame()
    sample = fit(policy_of(TYPED, SMALL), frame, ledger="sqlite://").sample(2_000, seed=1)
    wanted = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert wanted["moment"] == "datetime64[s]" and wanted["span"].startswith("timedelta64")
    wanted |= {"lost": "Int64"}  # whole numbers were floats since some are missing
    assert {name: str(dtype) for name, dtype in sample.dtypes.items()} == wanted
    for name in ("flag", "maybe", "word", "level", "code"):
        assert apart(frame[name].dropna(), sample[name].dropna()) < 0.03, name
    assert (sample["maybe"].isna().mean() > 0.2) and sample["flag"].notna().all()
    assert sample["single"].round(3).equals(sample["single"]) and sample["double"].round(3).equals(sample["double"])
    assert (sample["span"] % pd.Timedelta("1h") == pd.Timedelta(0)).mean() > 0.95, "whole hours"


def test_the_types_of_a_parquet_file_come_back(tmp_path: Path) -> None:
    schema = pa.schema([
        ("flag", pa.bool_()), ("maybe", pa.bool_()), ("tiny", pa.int8()), ("short", pa.int16()), ("whole", pa.uint32()),
        ("lost", pa.int64()), ("single", pa.float32()), ("double", pa.decimal128(6, 3)),
        ("word", pa.dictionary(pa.int32(), pa.string())),
        ("level", pa.int16()), ("code", pa.string()), ("day", pa.date32()), ("moment", pa.timestamp("us", "Europe/Berlin")),
        ("span", pa.duration("ms")),
    ])  # fmt: skip
    frame = typed_frame()
    columns = {}
    for field in schema:
        values = frame[field.name]
        if field.name == "double":
            columns[field.name] = pa.array([f"{v:.3f}" for v in values]).cast(field.type)
        elif field.name == "moment":
            columns[field.name] = pa.array(values.dt.tz_localize("UTC")).cast(field.type)
        else:
            columns[field.name] = pa.array(values, from_pandas=True).cast(field.type)
    pq.write_table(pa.table(columns, schema), tmp_path / "in.parquet")
    synthesizer = fit(policy_of(TYPED, SMALL), tmp_path / "in.parquet", ledger="sqlite://")
    write_table(synthesizer.layout, synthesizer.sample_blocks(SMALL, seed=1), tmp_path / "out.parquet")
    back = pq.read_table(tmp_path / "out.parquet")
    assert {field.name: field.type for field in back.schema} == {field.name: field.type for field in schema}
    assert back.column("lost").null_count > 0.2 * SMALL
    assert back.column("flag").null_count < 0.02 * SMALL  # noise of three standard deviations, in one column of 700
    local = back.column("moment").to_pandas().dt.tz_localize(None)
    assert local.between("2015-01-01", "2025-01-01").all()


def test_codes_that_are_text_stay_text(tmp_path: Path) -> None:
    """51701 in a column of text of a Parquet file is a code, also where the policy reads it as a number."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"cpt": rng.choice(["51701", "250"], SMALL), "visits": rng.integers(0, 9, SMALL).astype(str)})
    frame.to_parquet(tmp_path / "in.parquet")
    columns = '  cpt: {kind: category, categories: ["51701", "250"]}\n  visits: {kind: integer, bounds: [0, 9]}\n'
    synthesizer = fit(policy_of(columns, SMALL), tmp_path / "in.parquet", ledger="sqlite://")
    write_table(synthesizer.layout, synthesizer.sample_blocks(100, seed=1), tmp_path / "out.parquet")
    assert set(map(str, pq.read_schema(tmp_path / "out.parquet").types)) == {"string"}
    assert set(synthesizer.sample(100, seed=1)["cpt"]) == {"51701", "250"}


def test_no_synthetic_cell_is_blank_where_none_may_be(tmp_path: Path) -> None:
    """Blank cells of the table are nobody's value there: they are left out, and not counted as the first one."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(0, 90, SMALL).astype(str), "sex": rng.choice(["F", "M"], SMALL)})
    frame.loc[::5, ["age", "sex"]] = ""
    columns = (
        "  age: {kind: integer, bounds: [0, 90], nullable: false}\n"
        "  sex: {kind: category, categories: [F, M], nullable: false}\n"
    )
    sample = fit(policy_of(columns, SMALL), frame, ledger="sqlite://").sample(SMALL, seed=1)
    assert sample.notna().all(axis=None) and (sample["age"].astype(int) == 0).mean() < 0.05
    assert abs((sample["sex"] == "F").mean() - (frame["sex"] == "F").sum() / (frame["sex"] != "").sum()) < 0.03


# --- dialects ---------------------------------------------------------------------------------------------------------


def test_a_german_export_leaves_as_it_came(tmp_path: Path) -> None:
    """Semicolons, decimal commas, grouped thousands, euro signs, parentheses, month names, latin-1, a line break in a name."""
    rng = np.random.default_rng(0)
    sums = rng.lognormal(6, 1, SMALL).round(2)
    paid = [f"{v:,.2f}".translate({44: 46, 46: 44}) for v in sums]
    months = ["Jan", "Feb", "Mrz", "Apr", "Mai", "Jun", "Jul", "Aug", "Sep", "Okt", "Nov", "Dez"]
    frame = pd.DataFrame({
        "betrag\nbrutto": [f"({text} €)" if i % 5 == 0 else f"{text} €" for i, text in enumerate(paid)],
        "größe": [f"{v:.1f}".replace(".", ",") for v in rng.normal(170, 10, SMALL)],
        "geburt": [f"{d:02}-{months[m]}-{y:02}" for d, m, y in zip(
            rng.integers(1, 29, SMALL), rng.integers(0, 12, SMALL), rng.integers(25, 69, SMALL), strict=True)],
        "raucher": rng.choice(["ja", "nein", "k.A."], SMALL),
    })  # fmt: skip
    columns = (
        '  "betrag\\nbrutto": {kind: number, bounds: [-20000, 20000], decimals: 2, number: {currency: "€", parentheses: true}}\n'
        "  größe: {kind: number, bounds: [100, 250], decimals: 1}\n"
        '  geburt: {kind: date, bounds: [1915-01-01, 2010-12-31], format: "%d-%b-%y"}\n'
        "  raucher: {kind: boolean, categories: [nein, ja], missing: [k.A.]}\n"
    )
    text = (HEAD + columns).replace(
        "rows: ROWS",
        f'rows: {SMALL}, language: de, csv: {{delimiter: ";", encoding: cp1252, decimal: ",", thousands: "."}}',
    )
    frame.to_csv(tmp_path / "in.csv", sep=";", index=False, encoding="cp1252")
    synthesizer = fit(Policy.from_text(text), tmp_path / "in.csv", ledger="sqlite://")
    write_table(synthesizer.layout, synthesizer.sample_blocks(SMALL, seed=1), tmp_path / "out.csv")
    back = pd.read_csv(tmp_path / "out.csv", sep=";", dtype=str, encoding="cp1252", keep_default_na=False)
    assert list(back) == list(frame)
    assert back["betrag\nbrutto"].str.fullmatch(r"\(?€\d{1,3}(\.\d{3})*,\d\d\)?").all()
    negative = back["betrag\nbrutto"].str.startswith("(").mean()
    assert abs(negative - 0.2) < 0.03
    assert back["größe"].str.fullmatch(r"\d{3},\d").all()
    assert (
        back["geburt"].str.fullmatch(r"\d\d-[^-]+-\d\d").all()
        and back["geburt"].str[-2:].astype(int).between(24, 69).mean() > 0.97
    )
    assert apart(frame["raucher"], back["raucher"]) < 0.03
    typed = synthesizer.sample(SMALL, seed=1)
    assert typed["geburt"].dt.year.between(1924, 1969).mean() > 0.97, "births of the last century"
    again = fit(Policy.from_text(text), tmp_path / "out.csv", ledger="sqlite://")
    assert list(again.sample(5, seed=1)) == list(frame), "what leaves can be read as it was"
