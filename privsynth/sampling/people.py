"""Invented people: the names and the e-mail address of one row are those of one person, of the sex that the row states."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from privsynth.policy.fakes import faker_of, pool_of
from privsynth.policy.identifiers import POOL

PERSONAL = ("name", "first_name", "last_name", "email")  # generators of what belongs to one person
HOSTS = ("example.com", "example.org", "example.net")  # reserved: no mail can be delivered there (RFC 2606)
FEMALE, MALE, UNKNOWN = 0, 1, -1
# Columns that state a sex: one of these words is their name, or its first or last part, as in `sex_at_birth`.
SEX_COLUMNS = frozenset({
    "sex", "gender", "geschlecht", "anrede", "salutation", "sexe", "civilite", "civilité", "sexo", "genero", "género",
    "sesso", "genere", "geslacht", "kön", "kon", "kjønn", "kjonn", "køn", "kyn", "płeć", "plec", "pohlaví", "pohlavi",
    "pohlavie", "spol", "sukupuoli", "sugu", "dzimums", "lytis", "nem", "cinsiyet", "пол", "стать", "φύλο", "kelamin",
    "tính", "性别", "性別", "성별", "الجنس", "جنسیت", "מין", "लिंग", "เพศ",
})  # fmt: skip
_WORDS = {
    FEMALE: "female woman women girl fem mrs ms miss frau weiblich femme féminin feminin feminine madame mme mujer femenino "
    "femenina señora senora sra donna femmina femminile signora feminino feminina mulher vrouw vrouwelijk mevrouw kvinna "
    "kvinde kvinne kona kobieta žena ženský ženska ženski zena femeie femeiesc nainen naine sieviete moteris nő kadın женский "
    "женщина жен жена женски жінка жіноча γυναίκα θήλυ perempuan wanita nữ 女 女性 여 여자 여성 أنثى زن נקבה महिला หญิง",
    MALE: "male man men boy mr herr mann männlich maennlich homme masculin masculine monsieur hombre varón varon masculino señor "
    "senor sr uomo maschio maschile signor homem mannelijk mijnheer mand karl mężczyzna mezczyzna muž mužský muški moški muz "
    "bărbat mies mees vīrietis vyras férfi erkek мужской мужчина муж мъж мъжки чоловік чоловіча άνδρας άντρας άρρεν laki-laki "
    "pria nam 男 男性 남 남자 남성 ذكر مرد זכר पुरुष ชาย",
}
SEXES = {word: sex for sex, words in _WORDS.items() for word in words.split()}
# Pairs of letters, the female one first: those of English, and what a language has besides, as mujer and hombre. A letter may
# stand in two pairs (M is mujer or masculino): then the other letters of the column tell.
PAIRS = ("fm", "wm")
MORE_PAIRS = {
    "es": ("mh", "mv"), "fr": ("fh",), "it": ("du",), "nl": ("vm",), "sv": ("km",), "da": ("km",), "nb": ("km",), "no": ("km",),
    "is": ("km",), "pl": ("km",), "cs": ("žm", "zm"), "sk": ("žm", "zm"), "hr": ("žm",), "sl": ("žm",), "sr": ("žm", "жм"),
    "bs": ("žm",), "ru": ("жм",), "bg": ("жм",), "mk": ("жм",), "uk": ("жч",), "el": ("γα", "θα"), "tr": ("ke",), "hu": ("nf",),
    "fi": ("nm",), "et": ("nm",), "lt": ("mv",), "lv": ("sv",), "id": ("pl", "wp"),
}  # fmt: skip
FAMILY_FIRST = {"hu": "{1} {0}", "ja": "{1} {0}", "zh": "{1}{0}", "ko": "{1}{0}"}
_LETTERS = str.maketrans(
    {"ß": "ss", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ı": "i", "ə": "e"}
)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


class People:
    """Invented people, block by block: blocks together are the same people as one block of all rows.

    total: rows of all blocks. language: of their names, where Faker knows it; US English otherwise.
    encoding: of the CSV, in which all names can be written.
    """

    def __init__(self, total: int, rng: np.random.Generator, language: str = "en", encoding: str = "utf-8"):
        faker, size = faker_of(language, int(rng.integers(2**62)), names=True), min(total, POOL)
        self._rng, self._taken, self._language = rng, 0, language.partition("_")[0].partition("-")[0]
        self._first = [
            np.array(pool_of(make, size, encoding), object) for make in (faker.first_name_female, faker.first_name_male)
        ]
        self._last = [
            np.array(pool_of(make, size, encoding), object) for make in (faker.last_name_female, faker.last_name_male)
        ]

    def take(self, n: int, sexes: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """(n,) texts by generator. sexes: FEMALE, MALE or UNKNOWN of each row."""
        draws = self._rng.random((n, 3))  # row by row, so that where a block ends changes nothing
        sex = (draws[:, 0] < 0.5).astype(np.int64)
        if sexes is not None:
            sex = np.where(sexes == UNKNOWN, sex, sexes)
        which = (draws[:, 1:] * len(self._first[0])).astype(np.int64)
        first, last = (
            np.where(sex == FEMALE, pool[FEMALE][which[:, i]], pool[MALE][which[:, i]])
            for i, pool in enumerate((self._first, self._last))
        )
        numbers = np.arange(self._taken + 1, self._taken + n + 1)
        self._taken += n
        return {
            "name": self._joined(first, last), "first_name": first, "last_name": last, "email": self._mails(first, last, numbers),
        }  # fmt: skip

    def _joined(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        form = FAMILY_FIRST.get(self._language)
        if form is None:
            return np.asarray(first + " " + last)
        return np.array([form.format(*names) for names in zip(first, last, strict=True)], object)

    def _mails(self, first: np.ndarray, last: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Unique by their numbers, since a name has no digits."""
        folded = {name: _ascii(name, self._language) for name in {*first, *last}}
        hosts = np.array([f"@{host}" for host in HOSTS], object)[numbers % len(HOSTS)]
        before, after = (np.array([folded[name] for name in names], object) for names in (first, last))
        return np.asarray(before + "." + after + numbers.astype(str).astype(object) + hosts)


def _ascii(name: str, language: str) -> str:
    """A name as it can stand in an e-mail address.

    >>> _ascii("Šárka O'Neil", "cs"), _ascii("Müller", "de"), _ascii("王", "zh")
    ('sarkaoneil', 'mueller', 'person')
    """
    text = name.lower().translate(_UMLAUTS) if language == "de" else name.lower()
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return re.sub("[^a-z]", "", plain) or "person"


def sex_column(names: Iterable[str]) -> str | None:
    """The first of the names that is the name of a column of sexes.

    >>> sex_column(["visit", "sexton", "PatientSex"]), sex_column(["age", "weight"])
    ('PatientSex', None)
    """
    for name in names:
        words = re.sub(r"(?<=[a-zäöü])(?=[A-ZÄÖÜ])", " ", unicodedata.normalize("NFC", name)).lower()
        parts = [part for part in re.split(r"[\s\d_.,:;/()\[\]-]+", words) if part]
        if parts and SEX_COLUMNS & {parts[0], parts[-1]}:
            return name
    return None


def sexes_of(words: Iterable[Any], language: str = "en", letters: Mapping[str, int] | None = None) -> np.ndarray:
    """(rows,) FEMALE, MALE or UNKNOWN, by public lists of words. letters: by default those that these words are.

    >>> sexes_of(["F", " Herr ", "Unknown/Invalid", None, "2"])
    array([ 0,  1, -1, -1, -1])
    """
    plain = ["" if word is None else _plain(word) for word in words]
    known = SEXES | dict(letters_of(plain, language) if letters is None else letters)
    return np.array([known.get(word, UNKNOWN) for word in plain])


def letters_of(words: Iterable[Any], language: str) -> dict[str, int]:
    """The sex that each letter stands for, in a column of such words.

    >>> letters_of(["H", "M"], "es")["m"] == FEMALE, letters_of(["F", "M"], "es")["m"] == MALE, "m" in letters_of(["M"], "es")
    (True, True, False)
    """
    found = {_plain(word) for word in words if word is not None}
    pairs = (*PAIRS, *MORE_PAIRS.get(language.replace("-", "_").partition("_")[0], ()))
    pairs = tuple(pair for pair in pairs if found.issuperset(pair)) or pairs
    female, male = ({pair[sex] for pair in pairs} for sex in (FEMALE, MALE))
    return dict.fromkeys(female - male, FEMALE) | dict.fromkeys(male - female, MALE)


def _plain(word: Any) -> str:
    return unicodedata.normalize("NFC", str(word)).strip().lower().rstrip(".")
