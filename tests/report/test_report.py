"""The report: both faces, what they promise, what they must never say."""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from example import SENTINELS, evidence

from privsynth.errors import InputError
from privsynth.evidence import Books, Evidence, RuleCheck
from privsynth.frameworks import known_frameworks
from privsynth.report import charts, facts, report, tiles, words
from privsynth.report.frameworks import load_framework
from privsynth.report.render import _crosswalk
from privsynth.utility.association import KEPT, STRONG

PACKAGE = Path(charts.__file__).parent
VERDICTS = ("release", "release_with_conditions", "do_not_release")
_VOID = {"meta", "br", "link", "img", "hr", "input", "wbr"}


@cache
def page(face: str = "internal", verdict: str = "release_with_conditions") -> str:
    whole = evidence(verdict)
    return report(whole if face == "internal" else whole.public())


def text(html: str) -> str:
    """What a reader reads: no style, no tags."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL))


class Outline(HTMLParser):
    """Checks nesting, and collects headings, ids, links, attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.headings: list[int] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        assert not self.stack, f"left open: {self.stack}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.stack.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack and self.stack.pop() == tag, f"</{tag}> closes nothing"


FACES = pytest.mark.parametrize("face", ["internal", "public"])


@FACES
@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_verdict_is_said_in_words(face: str, verdict: str) -> None:
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", page(face, verdict), re.DOTALL)
    assert heading and text(heading.group(1)).strip().endswith(words.VERDICT[verdict])


@FACES
def test_first_screen_says_claim_risk_tested_and_not_tested(face: str) -> None:
    first = text(page(face).split('id="verdict"')[1].split("</section>")[0])
    for said in ("1.0e-6", "one patient", "add or remove one unit", "What was tested", "What was not tested"):
        assert said in first
    assert "An attacker who knows everything except whether one patient is in the table" in first
    assert "Timing of the run" in first and "no power here" in first


@FACES
def test_what_the_books_noticed_is_shown(face: str) -> None:
    """What a board must see on the first screen, all of it beside the ledger, and what hangs on rows inside alone."""
    books = Books(
        alarms=["Raised from 3 to 9."], notes=["The ledger was new."], recognised=["The same content as 'b'."]
    )
    whole = evidence().model_copy(update={"books": books})
    html = report(whole if face == "internal" else whole.model_copy(update={"visibility": "public"}))
    first, ledger = (text(html.split(f'id="{place}"')[1].split("</section>")[0]) for place in ("verdict", "ledger"))
    assert "The ledger reports something unusual" in first and "Raised from 3 to 9." in first and "was new" not in first
    assert "Raised from 3 to 9." in ledger and "The ledger was new." in ledger
    assert html.count("The same content as") == (face == "internal") == ("The same content as" in ledger)
    Outline(html)
    assert "something unusual" not in page(face) and "What the ledger noticed" not in page(face)


def test_evidence_of_the_first_version_says_nothing_of_the_books() -> None:
    raw = json.loads(evidence().model_dump_json())
    del raw["books"]
    assert Evidence.model_validate(raw).books == Books() and report(raw) == page()


def test_evidence_with_the_former_name_of_a_figure_still_loads() -> None:
    """Up to 0.1 `tvd1_noisy` was called `tvd1_bought`, and its histograms "bought histogram"."""
    raw = json.loads(evidence().public().model_dump_json())
    raw["utility"]["tvd1_bought"] = raw["utility"].pop("tvd1_noisy")
    for column in raw["utility"]["columns"]:
        column["reference_name"] = "bought histogram"
    read = Evidence.model_validate(raw)
    assert read.utility.tvd1_noisy == evidence().utility.tvd1_noisy is not None
    assert read.public().utility.columns == read.utility.columns and "Against noisy histograms" in report(raw)


@FACES
def test_every_promised_section_stands(face: str) -> None:
    anchors = ["verdict", "rely", "ledger", "attacks", "utility", "columns", "crosswalk", "limits", "monitoring"]
    internal_only = ["reidentification", "handling"]
    html = page(face)
    for anchor in [*anchors, "provenance", "signoff", *(internal_only if face == "internal" else [])]:
        assert f'<section id="{anchor}"' in html and f'href="#{anchor}"' in html
    if face == "public":
        assert not any(f'id="{anchor}"' in html for anchor in internal_only)
    for mechanism in evidence().privacy.mechanisms:
        assert mechanism.name in html and mechanism.purpose in html
    assert not re.search("[ >]0\N{NO-BREAK SPACE}%", html.split('<section id="ledger"')[1].split("</section>")[0])
    for name in evidence().report.frameworks:
        assert load_framework(name).title in html
    for role in ("Approver", "Recipient", "Named expert", "Data protection officer", "expiry"):
        assert role in html


@FACES
def test_nothing_is_printed_that_is_no_word(face: str) -> None:
    said = text(page(face))
    assert not re.search(
        r"\b(None|nan|NaN|Undefined|inf|True(?! positives)|False(?!-positive| positives| alarm))\b", said
    )
    assert "0.000" not in said and "Markup" not in said


@FACES
def test_the_page_asks_nobody_for_anything(face: str) -> None:
    html = page(face)
    assert "http:" not in html and "https:" not in html and "//" not in html.replace("<!--", "")
    assert not re.search(r"@import|url\(|<script|<link|<img|<iframe|<object|javascript:| on\w+=", html, re.IGNORECASE)
    for tag, attributes in Outline(html).tags:
        assert "src" not in attributes
        assert tag != "a" or (attributes["href"] or "").startswith("#")
    assert "default-src 'none'" in html


def test_same_evidence_same_bytes() -> None:
    # Vega numbers its clip paths through the life of the process: any id in a chart would break this.
    assert not re.search(r'<svg class="chart".*? id=', page().replace("</svg>", "</svg>\n"))
    again = Evidence.model_validate_json(evidence().model_dump_json())
    assert report(again) == page() and report(json.loads(again.model_dump_json())) == page()


def test_public_face_holds_no_internal_figure() -> None:
    mislabelled = evidence().model_copy(update={"visibility": "public"})  # figures left in: the report must cut them
    for html in (page("public"), report(mislabelled)):
        for name, value in SENTINELS.items():
            shown = {str(value), words.number(value), f"{value:,}"} | (
                {words.smallest(value)} if name == "smallest" else set()
            )
            assert not any(re.search(rf"(?<![\d.,]){re.escape(s)}(?![\d.,])", html) for s in shown), name
        assert words.WHY_INTERNAL in text(html)
        assert "measured, kept internal" in html and ">real<" not in html
    shown = text(page())
    assert all(words.number(SENTINELS[name]) in shown for name in ("value", "low", "high", "control", "group"))
    assert words.smallest(SENTINELS["smallest"]) in shown and words.count(SENTINELS["units"]) in shown


def test_no_power_is_never_safe() -> None:
    whole = evidence()
    finding = whole.audit.findings[2].model_copy(update={"verdict": "pass"})  # its positive control was missed
    whole.audit.findings[2] = finding
    assert facts.effective_verdict(finding, whole.audit) == "no_power"
    html = report(whole)
    assert "no power here" in html and "missed all its positive controls but is marked as passed" in html


def test_contradictions_are_said_on_the_first_screen() -> None:
    whole = evidence("do_not_release").model_copy(update={"verdict": "release"})
    assert "The evidence contradicts itself" in report(whole)
    assert "contradicts itself" not in page("internal", "do_not_release") and "contradicts itself" not in page()


def test_hostile_strings_are_only_text() -> None:
    bad = "<script>alert(1)</script>\"'><img src=x onerror=y>{{ 7*7 }}\u202e\x07"
    whole = evidence()
    whole.dataset.description = whole.dataset.id = bad
    whole.dataset.columns[3].name = whole.dataset.columns[3].domain = bad
    whole.dataset.constraints.append(bad)
    whole.privacy.mechanisms[0].name = whole.privacy.unit = whole.privacy.composition = bad
    whole.audit.findings[1].attack = whole.audit.controls[0].attack = bad
    whole.utility.columns[0].name = whole.utility.columns[0].labels[0] = bad
    whole.utility.correlations["columns"][0] = whole.report.recipient = bad
    whole.reasons.append(bad)
    whole.trainer.options[bad] = bad
    for html in (report(whole), report(whole.public())):
        assert "<script" not in html and "<img" not in html and "\u202e" not in html and "\x07" not in html
        assert "49" not in re.findall(r"\{\{|\b49\b(?= ?\ufffd)", html)
        Outline(html)
        _parse_all_svg(html)


def _parse_all_svg(html: str) -> list[ElementTree.Element]:
    found = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    return [ElementTree.fromstring(svg) for svg in found]


@FACES
def test_pictures_are_xml_scale_and_speak(face: str) -> None:
    pictures = _parse_all_svg(page(face))
    assert len(pictures) > 17
    for picture in pictures:
        assert "viewBox" in picture.attrib and "width" not in picture.attrib
        assert picture.get("aria-hidden") == "true" or (picture.get("role") == "img" and picture.get("aria-label"))


@FACES
def test_structure_serves_assistive_technology(face: str) -> None:
    outline = Outline(page(face))
    assert outline.headings[0] == 1 and outline.headings.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(outline.headings, outline.headings[1:], strict=False))
    names = [tag for tag, _ in outline.tags]
    assert {"header", "nav", "main", "footer"} <= set(names)
    assert all(a.get("scope") for tag, a in outline.tags if tag == "th")
    ids = [a["id"] for _, a in outline.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert ("html", {"lang": "en"}) in outline.tags
    assert any(tag == "a" and a.get("class") == "skip" for tag, a in outline.tags)


def test_wide_tables_stay_small() -> None:
    whole = evidence()
    one = whole.utility.columns[2]
    whole.utility.columns = [one.model_copy(update={"name": f"column {i}"}) for i in range(90)]
    size = range(90)
    whole.utility.correlations = {"columns": [f"c{i}" for i in size], "synthetic": [[0.5 for _ in size] for _ in size],
                                  "reference": [[-0.5 for _ in size] for _ in size]}  # fmt: skip
    html = report(whole)
    assert len(html) < 1_500_000 and html.count('class="tile"') == tiles.MAX_TILES
    assert "30 more columns are not drawn here" in html


def test_events_break_behind_brackets_and_odds_do_not_break() -> None:
    """On a phone they broke inside of words: ThresholdedGaussian(noise_multipl-ier, 1 in 1,000,000-,000."""
    assert re.search(r"<code>\w+\(<wbr>\w+=<wbr>", page("public"))
    privacy = evidence("release").privacy
    risk = privacy.risk.model_copy(update={"singling_out": {"1e-09": 1e-7}})
    few = evidence("release").model_copy(update={"privacy": privacy.model_copy(update={"risk": risk})})
    assert re.search(r"<th[^>]*><span class='whole'>1\sin\s1,000,000,000</span>", report(few))


def test_little_evidence_is_still_a_page() -> None:
    raw = json.loads(evidence().model_dump_json())
    raw |= {"reasons": [], "handling": None, "seconds": {}, "utility": {}, "audit": {}, "report": {}}
    raw["privacy"] |= {"mechanisms": [], "delta": 0.0, "unit": "row",
                       "risk": {"max_tpr": {}, "advantage": 0.1, "attribute_inference": {}, "roc": []}}  # fmt: skip
    raw["dataset"] |= {"columns": [], "constraints": [], "rows": None}
    html = report(raw)
    assert "No attack was run" in html and "no attack was run" in html and "No controls were run" in html
    assert not re.search(r"\b(None|nan)\b", text(html))


@FACES
def test_evidence_from_before_structure_was_measured_is_still_a_page(face: str) -> None:
    raw = json.loads((evidence() if face == "internal" else evidence().public()).model_dump_json())
    for name in ("retention", "separation", "numbers", "rules"):
        del raw["utility"][name]
    html = report(raw)
    assert not any(
        said in html for said in ("Strong associations", "Classifier:", "Means and totals", "table that leaves")
    )
    Outline(html)


def test_structure_is_said_inside_and_rules_on_both_faces() -> None:
    inside, outside = text(page()), text(page("public"))
    for said in ("2 of 3", "least: insulin and diabetesMed, 0.837 real, 0.343 synthetic", "It tells them apart",
                 "The real mean lies within the interval of the synthetic one in 2 of 4 columns, the real total in 2"):  # fmt: skip
        assert said in " ".join(inside.split()) and said not in " ".join(outside.split())
    assert "Without the noise for num_procedures, where it is not known." in inside
    order = re.findall(
        r'<th role="rowheader" scope="row">(\w+)</th>', page().split('class="numbers"')[1].split("</table>")[0]
    )
    assert order == ["num_medications", "charge", "time_in_hospital", "num_procedures"]  # farthest off first
    assert all("Counted in the table that leaves: no row of 80,000 breaks one." in face for face in (inside, outside))


@pytest.mark.parametrize(("low", "floor_high", "said"), [
    (0.52, 0.51, "It tells them apart"), (0.51, 0.51, "No difference is shown"), (0.48, 0.53, "No difference is shown"),
])  # fmt: skip
def test_a_difference_is_shown_where_the_interval_lies_above_the_floors(
    low: float, floor_high: float, said: str
) -> None:
    found = evidence().utility.separation
    assert found is not None and said in facts.separation(
        found.model_copy(update={"low": low, "floor_high": floor_high})
    )


def test_what_counts_as_strong_and_kept_is_what_is_measured() -> None:
    found = evidence().utility.retention
    assert found is not None
    said = facts.retention(found)
    assert f"above {STRONG} " in said and f"at least {KEPT:.0%}".replace("%", " %") in said
    assert "Median" not in facts.retention(found.model_copy(update={"pairs": []}))


def test_broken_rules_are_a_failed_check() -> None:
    """Of each rule the count and the rate, on both faces; a verdict without conditions contradicts it."""
    whole = evidence("release")
    rules = [RuleCheck(rule="a <= b", broken=0), RuleCheck(rule="c is 1", broken=1_600)]
    broken = whole.model_copy(update={"utility": whole.utility.model_copy(update={"rules": rules})})
    said = "Failed check. Counted in the table that leaves: 1,600 of 80,000 rows (20.00 of 1,000) break “c is 1”."
    assert facts.rules_kept(broken) == said and said in text(report(broken)) and said in text(report(broken.public()))
    assert "released rows break 1 rule" in facts.contradictions(broken)[0] and not facts.contradictions(whole)
    conditional = broken.model_copy(update={"verdict": "release_with_conditions"})
    assert not facts.contradictions(conditional)
    for none in ([], None):
        assert not facts.rules_kept(
            whole.model_copy(update={"utility": whole.utility.model_copy(update={"rules": none})})
        )


def test_many_numbers_are_shown_in_part() -> None:
    whole = evidence()
    one = whole.utility.numbers[0]
    many = [one.model_copy(update={"name": f"n{i}", "real_mean": one.mean + i / 1000}) for i in range(40)]
    html = report(whole.model_copy(update={"utility": whole.utility.model_copy(update={"numbers": many})}))
    assert "The 12 that lie farthest off are shown" in html and ">n39<" in html and ">n27<" not in html


def test_correlations_of_few_columns_are_drawn_no_larger_than_those_of_many() -> None:
    two = tiles.heatmaps({"columns": ["a", "b"], "synthetic": [[1, 0.5], [0.5, 1]], "reference": None})
    assert two is not None and 'viewBox="0 0 140 20"' in two.pictures[0][1]


def test_small_pictures_bear_noise_and_gaps() -> None:
    column = evidence().utility.columns[0]
    noisy = column.model_copy(update={"reference": [-0.01, 0.5, 0.2, 0.1, 0.1, 0.1]})
    alone = column.model_copy(update={"reference": None})
    empty = column.model_copy(update={"labels": [], "synthetic": []})
    drawn = tiles.tiles([noisy, alone, empty])
    assert len(drawn) == 2 and "No reference" in drawn[1].picture
    assert "h--" not in drawn[0].picture and "h-0" not in drawn[0].picture.replace("h-0z", "")


def test_doctests_of_the_words() -> None:
    assert doctest.testmod(words).failed == 0


# -- frameworks ----------------------------------------------------------------------------------------------------


def test_the_six_frameworks_are_known() -> None:
    promised = {"hipaa-expert-determination", "hipaa-safe-harbor", "gdpr-recital-26", "nist-sp-800-226",
                "iso-iec-27559", "sr-26-2"}  # fmt: skip
    assert promised <= set(known_frameworks())
    assert "SR 11-7" in load_framework("sr-26-2").cite and "SR 26-2" in load_framework("sr-26-2").cite


@pytest.mark.parametrize("name", known_frameworks())
def test_each_framework_is_whole_and_claims_no_compliance(name: str) -> None:
    framework = load_framework(name)  # checks keys, support and unique ids
    assert len(framework.clauses) >= 5
    told = " ".join([framework.about, *(c.requirement + c.evidence + c.open for c in framework.clauses)]).lower()
    assert not re.search(r"\b(is|are|fully) (compliant|anonymous under)|complies with|certif(y|ied) that", told)
    for whole in (evidence(), evidence().public()):
        texts = [row.cells[2] for row in _crosswalk(name, whole)["table"].rows]
        assert len(texts) == len(framework.clauses) and not any("{{" in str(text) for text in texts)


def test_an_unknown_framework_is_an_input_error() -> None:
    meta = evidence().report.model_copy(update={"frameworks": ["../../etc/passwd"]})
    with pytest.raises(InputError, match="use one of gdpr-recital-26"):
        report(evidence().model_copy(update={"report": meta}))


# -- reading and writing -------------------------------------------------------------------------------------------


def test_reads_a_path_and_writes_a_file(tmp_path: Path) -> None:
    evidence().write(tmp_path / "evidence.json")
    html = report(tmp_path / "evidence.json", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == html == page()


@pytest.mark.parametrize("content", [None, "no json", "[]", '{"verdict": "release"}', b"\xff\xfe\x00"])
def test_bad_evidence_is_one_clear_problem(tmp_path: Path, content: str | bytes | None) -> None:
    path = tmp_path / "evidence.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        report(str(path))
    assert len(caught.value.problems) == 1 and caught.value.problems[0].hint


def test_the_module_is_light() -> None:
    code = (
        "import sys; from privsynth.report import report; from privsynth.report.frameworks import known_frameworks;"
        "known_frameworks(); print([m for m in ('jinja2', 'altair', 'vl_convert', 'yaml', 'pandas', 'torch')"
        " if m in sys.modules and m not in before])"
    )
    before = "import sys; import privsynth; before = set(sys.modules); "
    done = subprocess.run([sys.executable, "-c", before + code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_room_imports_only_evidence_and_errors() -> None:
    for path in PACKAGE.glob("*.py"):
        for module in re.findall(
            r"^\s*(?:from|import) (privsynth[\w.]*)", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert re.fullmatch(r"privsynth\.(evidence|errors|frameworks|report(\.\w+)?)", module), (path.name, module)
