"""Invented names and addresses of a language, by Faker, which is loaded where it is needed alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faker import Faker

LOCALES = {
    "en": "en_US",
    "el": "el_GR",
    "nb": "no_NO",
    "nn": "no_NO",
}  # of Faker, where a language has several or another
MIXED_NAMES = ("lt_LT", "en_PK", "en_TH")  # locales of Faker in which women and men have the same first names
TRIES = 20  # texts that are made for each one that the encoding can write, at most


def faker_of(language: str, seed: int, names: bool = False) -> Faker:
    """US English where Faker does not know the language. names: of a locale that tells first names of women and men apart."""
    from faker import Faker
    from faker.config import AVAILABLE_LOCALES

    known, exact = sorted(AVAILABLE_LOCALES), language.replace("-", "_")
    short = exact.partition("_")[0]
    wanted = [exact, LOCALES.get(short, f"{short}_{short.upper()}")]
    wanted += [locale for locale in known if locale.startswith(f"{short}_")]
    wanted = [locale for locale in wanted if not names or locale not in MIXED_NAMES]
    faker = Faker(next((locale for locale in wanted if "_" in locale and locale in known), "en_US"))
    faker.seed_instance(seed)
    return faker


def can_write(text: str, encoding: str) -> bool:
    """
    >>> can_write("Łódź", "cp1250"), can_write("Łódź", "cp1252")
    (True, False)
    """
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def pool_of(make: Callable[[], Any], size: int, encoding: str = "utf-8") -> list[str]:
    """So many texts, of those alone that the encoding can write; they repeat if these are few, and are none if hardly any is."""
    found: list[str] = []
    for _ in range(TRIES * size):
        text = str(make()).replace("\n", ", ").strip()
        if can_write(text, encoding):
            found.append(text)
        if len(found) == size:
            break
    return [found[i % len(found)] for i in range(size)] if found else []
