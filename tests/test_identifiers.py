"""Invented identifiers: as many as there are rows, of one person in each row, and nobody's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from privsynth.errors import InputError, PolicyError
from privsynth.pipeline import fit, run
from privsynth.policy import Policy
from privsynth.policy.identifiers import RESERVED
from privsynth.sampling.identifiers import GENERATORS, Identifiers, Invented, Wanted
from privsynth.sampling.output import Layout
from privsynth.sampling.people import FEMALE, MALE, UNKNOWN, sex_column, sexes_of
from privsynth.sampling.synthesizer import Synthesizer
from privsynth.table.raw import RawTable
from privsynth.table.reader import read_table


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def invent(n: int, generator: str | None, pattern: str | None = None, language: str = "en", seed: int = 1) -> list[Any]:
    return list(Invented(n, generator, pattern, rng(seed), language).take(n))


# --- forms -----------------------------------------------------------------------------------------------------------


def test_uuids_are_unique_and_recognisable() -> None:
    """Version 8 of RFC 9562, with zeros in front: no real one was drawn or dated to be that."""
    made = invent(1000, "uuid")
    assert len(set(made)) == 1000 and all(
        re.fullmatch(r"00000000-0000-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}", v) for v in made
    )


def test_emails_reach_nobody() -> None:
    made = invent(3000, "email")
    assert len(set(made)) == 3000 and all(re.fullmatch(r"[a-z]+\.[a-z]+\d+@example\.(com|org|net)", v) for v in made)


@pytest.mark.parametrize(
    ("pattern", "form", "n"),
    [
        ("MRN-########", r"MRN-\d{8}", 2000),
        ("??-###", r"[A-Z]{2}-\d{3}", 2000),
        ("##", r"\d{2}", 100),
        ("##", r"\d{2}", 60),
        ("?#", r"[A-Z]\d", 260),
        ("?" * 20, r"[A-Z]{20}", 300),  # more fillings than 64 bits can number
    ],
)
def test_patterns_are_distinct_while_they_have_enough(pattern: str, form: str, n: int) -> None:
    made = invent(n, None, pattern)
    assert len(made) == len(set(made)) == n and all(re.fullmatch(form, v) for v in made)


def test_patterns_with_too_few_fillings_repeat_in_a_column_of_text() -> None:
    assert set(invent(50, None, "#")) == set("0123456789") and len(invent(50, None, "#")) == 50
    assert invent(3, None, "fixed") == ["fixed"] * 3


@pytest.mark.parametrize("generator", sorted(GENERATORS - {"email", "uuid"}))
def test_every_generator_of_the_language(generator: str) -> None:
    made = invent(40, generator)
    assert len(made) == 40 and all(isinstance(v, str) and v and "\n" not in v for v in made)
    assert len(set(made)) > 20 and made == invent(40, generator)
    assert made != invent(40, generator, seed=2)


@pytest.mark.parametrize("generator", [None, *sorted(GENERATORS)])
def test_blocks_are_one_sample(generator: str | None) -> None:
    whole = Invented(90, generator, None, rng()).take(90)
    by_block = Invented(90, generator, None, rng())
    assert [*by_block.take(40), *by_block.take(1), *by_block.take(49)] == list(whole)


def test_blocks_of_several_columns_are_one_sample() -> None:
    """Each column has a stream of its own: what one draws shifts no other."""
    columns = [Wanted("n", "name"), Wanted("m", "email"), Wanted("o", "name"), Wanted("c", "city"), Wanted("d", "city")]
    columns += [Wanted("p", None, "??##"), Wanted("i")]
    typed = pd.DataFrame({"sex": ["F", "M", None] * 30})
    whole = Identifiers(columns, ["sex"], 90, rng()).take(typed)
    by_block = Identifiers(columns, ["sex"], 90, rng())
    parts = [by_block.take(typed[:50]), by_block.take(typed[50:])]
    for column in columns:
        assert list(whole[column.name]) == [value for part in parts for value in part[column.name]], column.name


# --- nobody's --------------------------------------------------------------------------------------------------------

NOBODYS = {
    "phone_number": r"\+1-[2-9]\d\d-555-01\d\d",  # kept for fiction in every area of the North American plan
    "ssn": r"9\d\d-00-\d{4}",  # neither an area nor a group that is issued
    "iban": r"GB00SYNT\d{14}",  # check digits are 02 to 98
}


@pytest.mark.parametrize("generator", sorted(NOBODYS))
def test_numbers_of_people_lie_in_ranges_that_nobody_has(generator: str) -> None:
    made = invent(3000, generator)
    assert len(set(made)) == 3000 and all(re.fullmatch(NOBODYS[generator], value) for value in made)


@pytest.mark.parametrize(
    ("language", "generator", "form"),
    [
        ("de", "iban", r"DE00\d{18}"),
        ("de_AT", "iban", r"DE00\d{18}"),
        ("fr", "iban", r"FR00\d{23}"),
        ("en-GB", "phone_number", r"\+44 (7700 900|1632 960)\d{3}"),
        ("de", "phone_number", r"\+49 (30 23125|69 90009|40 66969|221 4710|89 99998)\d{3}"),
        ("fr", "phone_number", r"\+33 (1 99 00|2 61 91|3 53 01|4 65 71|5 36 49|6 39 98) \d\d \d\d"),
        ("pt_BR", "phone_number", NOBODYS["phone_number"]),
    ],
)
def test_numbers_of_other_countries(language: str, generator: str, form: str) -> None:
    assert all(re.fullmatch(form, value) for value in invent(500, generator, language=language))


def valid_iban(text: str) -> bool:
    moved = text[4:] + text[:4]
    return int("".join(str(int(sign, 36)) for sign in moved)) % 97 == 1 and "02" <= text[2:4] <= "98"


def test_no_iban_is_valid() -> None:
    assert valid_iban("GB82WEST12345698765432") and RESERVED["iban"]
    for language in RESERVED["iban"]:
        assert not any(map(valid_iban, invent(3000, "iban", language=language)))


def typed_source(kind: pa.DataType | None) -> RawTable:
    columns = {"who": pa.nulls(3, kind or pa.string()), "a": ["x"] * 3, "b": ["x"] * 3}
    return RawTable(pa.table(columns), typed=kind is not None)


def who_of(raw: RawTable, spec: str = "kind: id") -> pd.Series:
    """The column `who` of a release, as a data frame has it and, equally, as Parquet does."""
    policy = Policy.from_text(TWO.replace("kind: id", spec, 1))
    layout = Layout.of(policy, raw)
    frame = layout.finish(pd.DataFrame({"a": ["x"] * 30, "b": ["x"] * 30}), rng())
    return frame["who"]


TWO = """\
privsynth: 1
dataset: {id: two, rows: 30}
unit: row
budget: {epsilon: 1.0, delta: 1.0e-6}
columns:
  who: {kind: id, release: regenerate}
  a: {kind: category, categories: [x]}
  b: {kind: category, categories: [x]}
"""


@pytest.mark.parametrize("kind", [None, pa.string(), pa.large_string(), pa.date32(), pa.bool_()], ids=str)
def test_plain_identifiers_have_a_prefix_that_no_real_one_has(kind: pa.DataType | None) -> None:
    made = who_of(typed_source(kind))
    assert made.nunique() == 30 and all(re.fullmatch(r"synthetic-\d{8}", value) for value in made)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (pa.int64(), "int64"),
        (pa.int32(), "int32"),
        (pa.int16(), "int64"),
        (pa.uint64(), "int64"),
        (pa.float64(), "int64"),
        (pa.decimal128(20, 0), "int64"),
    ],
    ids=str,
)
def test_where_numbers_are_declared_they_are_numbers_far_below_zero(kind: pa.DataType, dtype: str) -> None:
    made = who_of(typed_source(kind))
    assert str(made.dtype) == dtype and made.nunique() == 30 and made.max() == -(10**9) - 1 and made.min() > -(2**31)


def test_a_pattern_of_digits_keeps_a_type_of_numbers() -> None:
    made = who_of(typed_source(pa.int64()), 'kind: id, pattern: "99####"')
    assert str(made.dtype) == "int64" and made.nunique() == 30 and made.between(990_000, 999_999).all()
    assert str(who_of(typed_source(pa.int32()), 'kind: id, pattern: "9#########"').dtype) == "int64"
    assert who_of(typed_source(pa.int64()), 'kind: id, pattern: "0####"').str.fullmatch(r"0\d{4}").all()
    assert who_of(typed_source(None), 'kind: id, pattern: "99####"').str.fullmatch(r"99\d{4}").all()


def test_a_data_frame_keeps_its_dtype() -> None:
    table = pd.DataFrame({"who": pd.Series([1, 2, 3], dtype="Int64"), "a": "x", "b": "x"})
    assert str(who_of(read_table(table)).dtype) == "Int64"
    assert who_of(read_table(table.assign(who=["1", "2", "3"]))).str.startswith("synthetic-").all()


# --- people ----------------------------------------------------------------------------------------------------------

PERSON = [
    Wanted("first", "first_name"),
    Wanted("mail", "email"),
    Wanted("full", "name"),
    Wanted("last", "last_name"),
]


def people(sexes: list[Any], language: str = "en", name: str = "sex", columns: list[Wanted] = PERSON) -> pd.DataFrame:
    wanted = [Wanted(c.name, c.generator, language=language) for c in columns]
    typed = pd.DataFrame({name: sexes, "ward": "F"})
    return pd.DataFrame(Identifiers(wanted, ["ward", name], len(typed), rng()).take(typed))


def names_of(language: str, sex: str) -> set[str]:
    from faker import Faker

    provider = next(p for p in Faker(language).get_providers() if hasattr(p, "first_names_female"))
    return set(getattr(provider, f"first_names_{sex}"))


def test_names_and_email_are_of_one_person() -> None:
    made = people([None] * 400)
    assert (made["full"] == made["first"] + " " + made["last"]).all() and made["full"].nunique() > 350
    for row in made.itertuples():
        assert re.fullmatch(rf"{row.first}\.{row.last}\d+@example\.(com|org|net)", row.mail, re.IGNORECASE)
    assert made["mail"].nunique() == 400


@pytest.mark.parametrize(
    ("language", "female", "male", "locale"),
    [
        ("en", ["F", "female", " Female ", "Mrs."], ["M", "male", "MALE", "mr"], "en_US"),
        ("de", ["w", "weiblich", "Frau"], ["m", "männlich", "Herr"], "de_DE"),
        ("fr", ["F", "Femme", "Mme"], ["H", "M", "Homme"], "fr_FR"),
        ("es", ["F", "Mujer"], ["H", "Hombre", "masculino"], "es_ES"),
    ],
)
def test_first_names_fit_the_sex_of_the_row(language: str, female: list[str], male: list[str], locale: str) -> None:
    for words, own, other in ((female, "female", "male"), (male, "male", "female")):
        made = people(words * (60 // len(words)), language)
        assert set(made["first"]) <= names_of(locale, own) and not set(made["first"]) <= names_of(locale, other)


def test_family_names_fit_the_sex_where_a_language_tells() -> None:
    assert people(["F"] * 50, "cs")["last"].str.endswith(("á", "ů")).all()
    assert not people(["M"] * 50, "cs")["last"].str.endswith("vá").any()


def test_words_that_no_list_knows_are_of_either_sex() -> None:
    made = set(people(["Unknown/Invalid", "1", "X", None] * 50)["first"])
    only_female, only_male = (
        names_of("en_US", one) - names_of("en_US", other) for one, other in (("female", "male"), ("male", "female"))
    )
    assert made & only_female and made & only_male


def test_the_sex_is_that_of_a_column_named_so() -> None:
    """And not a ward that is called F."""
    for name in ("sex", "GENDER", "PatientSex", "sex_at_birth", "Geschlecht"):
        assert set(people(["M"] * 60, name=name)["first"]) <= names_of("en_US", "male"), name
    only_male = names_of("en_US", "male") - names_of("en_US", "female")
    for name in ("other", "sexton", "gendered", "is_sex_known"):
        assert not set(people(["F"] * 60, name=name)["first"]).isdisjoint(only_male), name


def test_letters_mean_what_they_mean_in_the_language() -> None:
    assert sexes_of(["M", "H", "F"], "es").tolist() == [UNKNOWN, MALE, FEMALE], "M is mujer or masculino"
    assert sexes_of(["M", "H", "K"], "en_GB").tolist() == [MALE, UNKNOWN, UNKNOWN]
    assert sexes_of(["K", "M"], "pl").tolist() == [FEMALE, MALE]


@pytest.mark.parametrize(
    ("language", "female", "male"),
    [("es", "M", "H"), ("es", "F", "M"), ("hu", "N", "F"), ("lt", "M", "V"), ("ru", "Ж", "М"), ("ru", "женский", "мужской"),
     ("tr", "K", "E"), ("cs", "Ž", "M"), ("zh", "女", "男"), ("ar", "أنثى", "ذكر"), ("id", "Perempuan", "Laki-laki"),
     ("el", "Γυναίκα", "Άνδρας"), ("lv", "S", "V")],
)  # fmt: skip
def test_a_letter_means_what_the_others_of_its_column_say(language: str, female: str, male: str) -> None:
    assert sexes_of([male, female, "X", None], language).tolist() == [MALE, FEMALE, UNKNOWN, UNKNOWN]


def test_a_letter_means_the_same_in_every_block() -> None:
    rows = pd.DataFrame({"sexo": ["H", "M"] + ["M"] * 60})
    made = Identifiers([Wanted("first", "first_name", language="es")], ["sexo"], 62, rng())
    first = [*made.take(rows[:2])["first"], *made.take(rows[2:])["first"]]
    assert set(first[1:]) <= names_of("es_ES", "female")


def test_columns_of_sexes_in_other_languages() -> None:
    for name in ("пол", "Пол пациента", "性別", "jenis_kelamin", "Giới tính", "लिंग", "cinsiyet", "Geschlecht (m/w/d)"):
        assert sex_column(["ward", name]) == name, name


@pytest.mark.parametrize("language", ["lt", "en_PK", "en_TH"])
def test_sexes_are_told_where_faker_mixes_first_names(language: str) -> None:
    assert set(people(["F"] * 60, language)["first"]) <= names_of("en_US", "female")


def test_a_second_column_of_a_kind_is_another_person() -> None:
    columns = [*PERSON, Wanted("contact", "name"), Wanted("reach", "email")]
    made = people(["F"] * 200, columns=columns)
    assert (made["contact"] == made["full"]).mean() < 0.05
    for row in made.itertuples():
        assert re.fullmatch(rf"{row.contact.replace(' ', '.')}\d+@.*", row.reach, re.IGNORECASE)
    only_male = names_of("en_US", "male") - names_of("en_US", "female")
    assert set(made["contact"].str.split().str[0]) & only_male, "nothing says what sex the other person has"


@pytest.mark.parametrize(
    ("language", "form"), [("de", r"[^\W\d_][^\d_]*"), ("ru", "[а-яё -]+"), ("ja", r"[^\x00-\x7f]+ [^\x00-\x7f]+")]
)
def test_names_are_of_the_language_and_addresses_are_ascii(language: str, form: str) -> None:
    made = people([None] * 300, language)
    assert made["full"].str.fullmatch(form, flags=re.IGNORECASE).all()
    assert made["mail"].str.fullmatch(r"[a-z]+\.[a-z]+\d+@example\.(com|org|net)").all() and made["mail"].is_unique
    if language == "ja":
        assert (made["full"] == made["last"] + " " + made["first"]).all()


def test_a_language_that_faker_has_not_gives_english_names() -> None:
    assert people(["F"] * 20, "mi").equals(people(["F"] * 20, "en"))


def test_people_of_a_release(clinic_text: str, clinic_table: Callable[..., pd.DataFrame]) -> None:
    raw = read_table(clinic_table().assign(mail="x"))
    text = clinic_text.replace(
        "constraints", "  mail: {kind: text, release: regenerate, generator: email}\nconstraints", 1
    )
    layout = Layout.of(Policy.from_text(text), raw)
    count = 300
    typed = pd.DataFrame({"sex": ["F", "M"] * 150, "ward": "east", "ill": "no"} | dict.fromkeys(
        ("age", "weight", "admitted", "discharged"), [1.0] * count))  # fmt: skip
    made = layout.finish(typed, rng())
    first = made["name"].str.split().str[0]
    for sex, word in (("female", "F"), ("male", "M")):
        assert set(first[made["sex"] == word]) <= names_of("en_US", sex)
    local = made["mail"].str.extract(r"([a-z.]+)\d+@", expand=False)
    assert (local == made["name"].str.lower().str.replace("'", "").str.replace(" ", ".")).all()


# --- as many as there are rows ---------------------------------------------------------------------------------------


def refused(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        Policy.from_text(text)
    (problem,) = caught.value.problems
    return str(problem)


def asked(spec: str, rows: int | None = 4000, unit: str = "row", release: str = "") -> str:
    declared = "" if rows is None else f", rows: {rows}"
    text = TWO.replace(", rows: 30", declared).replace("unit: row", f"unit: {unit}").replace("1.0e-6", "1.0e-7")
    return text.replace("kind: id, release: regenerate", f"{spec}, release: regenerate") + release


def warnings(text: str) -> str:
    return "\n".join(w for w in Policy.from_text(text).warnings if "who" in w)


def test_fewer_fillings_than_rows_are_refused() -> None:
    told = refused(asked('kind: id, pattern: "SYN-###"'))
    assert "columns.who.pattern" in told and "1,000 fillings for 4,000 rows" in told and "`SYN-####`" in told
    assert "has 1 filling for" in refused(asked("kind: id, pattern: fixed"))
    assert not warnings(asked('kind: id, pattern: "SYN-####"'))
    assert not warnings(asked('kind: id, pattern: "SYN-###"', rows=1000))


def test_rows_of_the_release_count_before_those_of_the_table() -> None:
    assert not warnings(asked('kind: id, pattern: "SYN-###"', release="release: {rows: 1000}\n"))
    assert "for 1,001 rows" in refused(asked('kind: id, pattern: "SYN-###"', 30, release="release: {rows: 1001}\n"))


def test_text_may_repeat_unless_it_names_the_unit() -> None:
    assert not warnings(asked('kind: text, pattern: "SYN-###"'))
    told = refused(asked('kind: text, pattern: "SYN-###"', unit="{column: who, max_rows: 2}"))
    assert "1,000 fillings" in told and "may repeat" not in told


def test_generators_with_too_few_values_are_refused() -> None:
    assert "80,000 values at most for 100,000 rows" in refused(asked("kind: id, generator: phone_number", 100_000))
    assert "2,000 values at most" in refused(asked("kind: id, generator: city"))
    assert "may repeat: declare it as text" in warnings(asked("kind: id, generator: city", 100))
    for generator in ("uuid", "email", "iban", "ssn"):
        assert not warnings(asked(f"kind: id, generator: {generator}", 100_000))


def test_where_the_rows_are_not_declared_it_is_a_warning() -> None:
    told = warnings(asked('kind: id, pattern: "SYN-###"', rows=None))
    assert "only 1,000 different identifiers" in told and "columns.who.pattern" in told
    assert not warnings(asked('kind: id, pattern: "SYN-########"', rows=None))
    assert not warnings(asked('kind: text, pattern: "SYN-###"', rows=None))


def small(
    pattern: str, kind: str = "id", unit: str = "row", declared: str = ", rows: 60"
) -> tuple[Policy, pd.DataFrame]:
    text = TWO.replace(", rows: 30", declared).replace("[x]", "[x, y]").replace("unit: row", f"unit: {unit}")
    text = text.replace("kind: id", f'kind: {kind}, pattern: "{pattern}"') + "seed: 1\n"
    text += "trainer: {name: marginals, options: {sweeps: 4}}\n"
    table = pd.DataFrame({"who": [f"P{i}" for i in range(60)], "a": ["x", "y"] * 30, "b": ["x", "y", "y"] * 20})
    return Policy.from_text(text.replace("epsilon: 1.0", "epsilon: 30.0")), table


@pytest.fixture(scope="module")
def hundred() -> Synthesizer:
    return fit(*small("A-##"), ledger="sqlite://")


def test_a_sample_of_more_rows_than_fillings_is_refused_before_any_is_drawn(hundred: Synthesizer) -> None:
    assert hundred.sample(100, seed=1)["who"].nunique() == 100
    for call in (hundred.sample, hundred.sample_blocks):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Synthesizer, "_typed", None)  # drawing would fail otherwise
            with pytest.raises(InputError, match=r"'who'.*100 different identifiers at most, and 101 rows") as caught:
                call(101)
        assert "`A-###`" in str(caught.value)


def test_unit_columns_of_text_do_not_repeat_in_samples_either() -> None:
    made = fit(*small("A-##", "text", "{column: who, max_rows: 2}"), ledger="sqlite://")
    with pytest.raises(InputError, match="100 different identifiers"):
        made.sample(101)
    assert fit(*small("A-##", "text"), ledger="sqlite://").sample(150, seed=1)["who"].nunique() == 100


def test_a_run_whose_rows_are_measured_releases_no_more_than_there_are_identifiers(tmp_path: Any) -> None:
    """A refusal would come after the budget is spent; `check` has warned."""
    policy, table = small("A-#", declared="")
    outcome = run(policy, table, tmp_path / "out", ledger="sqlite://")
    assert outcome.evidence.report.rows_released == 10


# --- whether a real one can be among them ----------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["#########", "###-##-####", "?#", "99#######"])
def test_a_pattern_without_letters_is_warned_about(pattern: str) -> None:
    told = warnings(asked(f'kind: id, pattern: "{pattern}"', 30).replace("who:", '"who":'))
    assert "columns.who.pattern" in told or pattern == "?#"
    if pattern != "?#":
        assert "can be a real one" in told and "SYN-########" in told and "`real`" in told


@pytest.mark.parametrize(
    ("real", "pattern", "meets"),
    [
        ("#########", "#########", True),
        ("#########", "9########", True),
        ("#########", "9#########", False),  # one digit more
        ("######", "#########", True),  # 000123456 is 123456 where it is read as a number
        ("######", "9########", False),
        ("MRN-######", "MRN-######", True),
        ("MRN-######", "SYN-######", False),
        ("mrn-######", "MRN-######", True),
        ("???-######", "SYN-######", True),
        ("??########", "SYN-######", False),
        ("A-##", "A-??", False),
        ("###-##-####", "9########", True),  # with or without signs between them
        ("######", "9##-###", True),
        ("MRN-######", "MRN-########", True),  # MRN-00123456
        ("MRN-######", "MRN-9#######", False),
        ("######", "-1#####", False),
        ("######", "######.0", True),
        ("STRASSE-##", "straße-##", True),
        ("????####", "1111####", False),
        ("#-##", "7-##", True),
    ],
)
def test_a_pattern_that_meets_the_real_one_is_warned_about(real: str, pattern: str, meets: bool) -> None:
    told = warnings(asked(f'kind: id, pattern: "{pattern}", real: "{real}"', 30))
    assert ("'who' can be a real one" in told) == meets, told


def test_a_pattern_that_does_not_say_that_it_is_invented_is_warned_about() -> None:
    told = warnings(asked('kind: id, pattern: "MRN-########"'))
    assert "'who' can be a real one" in told and "SYN-########" in told and "`real`" in told
    assert not warnings(asked('kind: id, pattern: "SYN-MRN-########"')) and not warnings(
        asked("kind: text, pattern: REDACTED")
    )


@pytest.mark.parametrize("sign", ["[0-9]{9}", r"\\d{9}", "A-##|B-##"])
def test_regular_expressions_are_none_and_told(sign: str) -> None:
    """They would be compared as they stand, and meet no pattern."""
    for text in (f'pattern: "SYN-######", real: "{sign}"', f'pattern: "SYN-{sign}####"'):
        assert "signs of a regular expression" in warnings(asked(f"kind: id, {text}", 30))


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        ('pattern: ""', "pattern: is empty"),
        ('pattern: "SYN-######", real: " "', "real: is empty"),
        ('pattern: " SYN-######"', "white space at an end"),
        (r'pattern: "SYN-\n######"', "control character"),
        ('pattern: "%s"' % ("#" * 1001), "1000 characters"),
    ],
    ids=["empty", "blank", "white space", "line end", "long"],
)
def test_patterns_that_nobody_could_read_are_refused(spec: str, rule: str) -> None:
    for kind in ("id", "text"):
        assert rule in refused(asked(f"kind: {kind}, {spec}", 30))


def test_very_long_patterns_are_shown_in_part() -> None:
    told = warnings(asked('kind: id, pattern: "%s"' % ("#?" * 500)))
    assert "can be a real one" in told and len(told) < 500
    assert len(set(invent(50, None, "#?" * 500))) == 50


def test_a_generator_beside_a_pattern_is_told() -> None:
    assert "`generator` does not count" in warnings(asked('kind: id, generator: uuid, pattern: "SYN-######"'))


def test_the_plain_form_can_meet_a_real_one_too() -> None:
    assert not warnings(asked('kind: id, real: "#########"'))
    assert "Write a `pattern`" in warnings(asked('kind: id, real: "synthetic-########"'))
    assert "does not belong to kind category" in refused(TWO.replace("[x]}", '[x], real: "#"}', 1))
