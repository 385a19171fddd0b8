"""Every way in which published synthesizers leaked, patched into our own code: a named test must see it.

One case patches one defect in (`mutants.py`) and runs the tests named for it, in this process. Each must fail by an
assertion of its own, and pass on sound code. docs/leaks.md explains the same for readers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mutants as m
import pytest
from nested import ROOT, Mutant, Ran, causes, place, run_test

NUMBERS = range(1, 35)  # of the list that docs/leaks.md answers

SENSITIVITY = "tests/conformance/test_mechanisms.py::test_neighbours_differ_by_the_stated_sensitivity"
REPLAY = "tests/conformance/test_replay.py::test_a_fit_on_neighbours"
COLLIDING = "tests/conformance/test_replay.py::test_a_fit_on_pairs_built_to_collide"
CELLS = "tests/conformance/test_cells.py::test_no_cell_changes_another"
FENCE = "tests/conformance/test_fence.py"
DPSGD = "tests/privacy/test_dpsgd_mechanism.py"
CLIPPING = "tests/privacy/test_clipping.py"
TABLES = "tests/privacy/test_unit_weights.py"
COUNTS = "tests/privacy/test_counts.py"
NOISE = "tests/privacy/test_noise_source.py"
ACCOUNTANT = "tests/privacy/test_accountant.py"
BOOKS = "tests/privacy/test_ledger_books.py"
INTAKE = "tests/test_table.py"
SOUND = "tests/leaks/test_sound.py"

JOINING = f"{SOUND}::test_who_joins_a_step_depends_on_random_draws_alone"
DRAWS = f"{SOUND}::test_each_step_draws_every_unit_once_at_the_rate_that_was_paid"
BOUNDARIES = f"{SOUND}::test_every_table_has_its_noise_at_every_boundary"
DOMAIN = f"{SOUND}::test_the_domain_is_what_was_measured_and_nothing_else"
SETTINGS = f"{SOUND}::test_mechanisms_are_set_up_alike_on_neighbours"
POISSON = f"{DPSGD}::test_batches_are_poisson_over_units"
ORACLE = f"{CLIPPING}::test_clipped_sum_equals_the_oracle[cpu-0.3-critic]"
MIXING = f"{CLIPPING}::test_rows_do_not_mix[cpu-critic]"
SINGLETONS = f"{COUNTS}::test_a_singleton_survives_with_at_most_delta"
ROUNDED = "tests/conformance/test_mechanisms.py::test_gradients_have_the_noise_of_the_clip_and_are_rounded"
NUMBERS_OF_UNITS = "tests/test_unit_numbers.py::test_one_unit_more_moves_nobody"
ACCOUNTANTS = f"{ACCOUNTANT}::test_dp_sgd_agrees_with_other_accountants[0.01-1.0-300]"
FACES = "tests/test_release.py::test_two_faces"


@dataclass(frozen=True)
class Leak:
    """One defect of the list, one mutant that has it, and the tests that must fail."""

    number: int
    mutant: Mutant
    tests: tuple[str, ...]


LEAKS = [
    Leak(1, m.weights_computed_but_raw_rows_counted, (f"{SENSITIVITY}[Histograms]", f"{SENSITIVITY}[Marginals]")),
    Leak(1, m.norms_computed_but_raw_gradients_summed, (f"{SENSITIVITY}[DPSGD]",)),
    Leak(2, m.ghost_clipping_by_a_norm_of_its_own, (f"{SENSITIVITY}[DPSGD]",)),
    Leak(3, m.norm_of_biases_is_wrong, (ORACLE,)),
    Leak(4, m.earlier_physical_batches_added_again, (f"{CLIPPING}::test_physical_batches_do_not_show[cpu-critic]",)),
    Leak(5, m.sum_divided_by_the_batch_that_came, (f"{DPSGD}::test_a_unit_without_gradient_changes_nothing",)),
    Leak(5, m.sum_divided_by_the_true_number_of_units, (f"{DPSGD}::test_a_unit_without_gradient_changes_nothing",)),
    Leak(6, m.shuffled_batches_of_fixed_size, (POISSON, DRAWS)),
    Leak(7, m.units_with_many_rows_drawn_more_often, (POISSON, JOINING)),
    Leak(8, m.rows_drawn_by_category, (JOINING,)),
    Leak(9, m.exact_frequencies_of_categories, (f"{TABLES}::test_noise_matches_the_shares",)),
    Leak(9, m.frequencies_counted_beside_the_mechanism, (f"{REPLAY}[marginals]",)),
    Leak(10, m.bounds_read_off_the_rows, (DOMAIN,)),
    Leak(10, m.categories_read_off_the_rows, (DOMAIN,)),
    Leak(10, m.clip_norm_read_off_the_rows, (SETTINGS,)),
    Leak(11, m.measures_first_and_charges_then, (f"{FENCE}::test_a_mechanism_is_charged_before_it_sees_a_row",)),
    Leak(
        11, m.refuses_only_once_the_budget_is_passed,
        (f"{BOOKS}::test_the_run_that_would_pass_the_lifetime_is_refused[sqlite]",),
    ),
    Leak(12, m.accountant_forgets_the_steps, (ACCOUNTANTS,)),
    Leak(12, m.accountant_given_half_the_rate, (ACCOUNTANTS,)),
    Leak(12, m.batches_at_twice_the_rate_that_is_stated, (DRAWS,)),
    Leak(12, m.more_steps_than_are_stated, (f"{DPSGD}::test_every_step_is_taken_even_with_nobody_in_it[critic]", DRAWS)),
    Leak(13, m.epsilon_by_a_degenerate_order, (f"{ACCOUNTANT}::test_epsilon_is_never_negative",)),
    Leak(14, m.accumulated_batches_left_out_of_the_rate, (DRAWS, f"{REPLAY}[ctgan alone]")),
    Leak(15, m.microbatches_clipped_as_one_row, (f"{SENSITIVITY}[DPSGD]", ORACLE)),
    Leak(16, m.first_stage_not_in_the_total, (
        "tests/privacy/test_plan_totals.py::test_total_meets_epsilon[0.1-credit-default-{name: ctgan}]",
    )),
    Leak(16, m.a_share_is_spent_twice, (f"{BOOKS}::test_nothing_runs_twice[sqlite]",)),
    Leak(17, m.no_noise_where_there_is_one_column, (f"{BOUNDARIES}[1-one column]",)),
    Leak(17, m.no_noise_on_a_table_of_one_cell, (f"{BOUNDARIES}[1-two of one cell]",)),
    Leak(17, m.noise_of_scale_zero_is_drawn, (f"{NOISE}::test_integers_stand_at_the_ends_of_their_bounds",)),
    Leak(18, m.nan_passes_the_clip, (f"{CLIPPING}::test_nan_and_infinity_add_nothing[cpu-4096-nan-critic]",)),
    Leak(19, m.holdout_by_row, (f"{INTAKE}::test_no_unit_on_both_sides",)),
    Leak(19, m.reference_and_control_share_people, (
        "tests/audit/test_attack.py::test_parts_of_the_holdout_are_disjoint",
    )),
    Leak(20, m.batch_norm_in_the_critic, (MIXING,)),
    Leak(20, m.packs_of_rows_in_the_critic, (MIXING,)),
    Leak(21, m.real_rows_pretrain_the_networks, (f"{REPLAY}[ctgan]",)),
    Leak(22, m.the_same_key_every_time, (f"{NOISE}::test_two_sources_differ_and_one_stream_goes_on",)),
    Leak(22, m.noise_of_a_simulation_generator, (f"{NOISE}::test_words_are_those_of_aes_in_counter_mode",)),
    Leak(23, m.counts_with_noise_in_plain_doubles, (
        f"{NOISE}::test_released_counts_are_whole_multiples_of_the_lattice",
        f"{TABLES}::test_exact_and_noisy_counts_lie_on_the_lattice",
    )),
    Leak(23, m.gradients_with_noise_in_plain_doubles, (ROUNDED,)),
    Leak(24, m.model_keeps_the_rows_it_learned, (f"{REPLAY}[marginals]",)),
    Leak(25, m.public_face_with_exact_figures, (FACES,)),
    Leak(25, m.public_face_with_the_attacks_figures, (FACES,)),
    Leak(26, m.a_crash_gives_the_budget_back, (f"{BOOKS}::test_a_mechanism_that_breaks_stays_charged[sqlite]",)),
    Leak(
        26, m.spending_is_written_down_at_the_end,
        (f"{BOOKS}::test_the_run_that_would_pass_the_lifetime_is_refused[sqlite]",),
    ),
    Leak(
        27, m.another_try_of_the_same_policy_is_free,
        (f"{BOOKS}::test_runs_without_a_cap_count_against_a_later_cap[sqlite]",),
    ),
    Leak(28, m.every_row_is_its_own_person_in_counts, (
        f"{SENSITIVITY}[PrivateBounds]", f"{SENSITIVITY}[OpenCategories]",
    )),
    Leak(28, m.every_row_is_its_own_person_in_tables, (f"{SENSITIVITY}[Histograms]",)),
    Leak(28, m.every_row_is_its_own_person_in_steps, (DRAWS,)),
    Leak(29, m.holdout_by_one_permutation, (NUMBERS_OF_UNITS, f"{INTAKE}::test_one_unit_more_moves_nobody_else[first]")),
    Leak(29, m.bounding_by_one_shuffle, (NUMBERS_OF_UNITS, f"{INTAKE}::test_one_unit_more_moves_nobody_else[first]")),
    Leak(30, m.max_rows_is_only_claimed, (f"{INTAKE}::test_a_unit_with_a_thousand_rows",)),
    Leak(31, m.decoder_kept_within_what_occurs, (f"{REPLAY}[marginals]",)),
    Leak(32, m.fixed_threshold_for_rare_categories, (
        f"{COUNTS}::test_threshold_covers_delta_exactly", f"{SINGLETONS}[3.0-1]",
    )),
    Leak(33, m.texts_known_by_a_hash_that_stops_at_nul, (f"{CELLS}[nul behind-csv]", f"{COLLIDING}[nul behind]")),
    Leak(33, m.contents_known_by_a_hash_that_stops_at_nul, ("tests/test_unit_numbers.py::test_what_differs_is_known_apart",)),
    Leak(34, m.only_a_quote_that_is_open_at_the_end_is_refused, (
        "tests/conformance/test_cells.py::test_no_line_changes_another[lf-plain]",
    )),
]  # fmt: skip

# Tests that may fail by chance on sound code, as they are marked.
STATISTICAL = {POISSON, ROUNDED, f"{SINGLETONS}[3.0-1]"}


def nodes_of(number: int) -> set[str]:
    return {test for leak in LEAKS if leak.number == number for test in leak.tests}


@pytest.fixture(scope="session")
def on_sound_code(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Ran]:
    """Runs a test without any mutant, once in this session."""
    return cache(lambda test: run_test(test, None, tmp_path_factory.mktemp("sound") / "run"))


@pytest.mark.parametrize("leak", LEAKS, ids=[f"{leak.number:02}-{leak.mutant.__name__}" for leak in LEAKS])
def test_the_named_tests_see_the_mutant(leak: Leak, on_sound_code: Callable[[str], Ran], tmp_path: Path) -> None:
    for turn, test in enumerate(leak.tests):
        sound = on_sound_code(test)
        assert (len(sound.passed), sound.failed, sound.broken) == (1, {}, []), f"{test} on sound code"
        assert bool(sound.statistical) == (test in STATISTICAL)
        mutant = run_test(test, leak.mutant, tmp_path / str(turn))
        assert (mutant.passed, len(mutant.failed), mutant.broken) == ([], 1, []), f"{test} with the defect"
        for cause in causes(next(iter(mutant.failed.values())).value):
            assert is_a_verdict(cause), f"{test} fails by accident: {cause!r} in {place(cause)}"


def is_a_verdict(error: BaseException) -> bool:
    """True for a test's own failure: an assertion that does not hold, or an expected error that was not raised."""
    ours = str(ROOT / "privsynth") in place(error) or place(error).startswith("<mutant")
    return isinstance(error, (AssertionError, pytest.fail.Exception)) and not ours


# --- the list ---------------------------------------------------------------------------------------------------------


def test_every_defect_has_a_mutant_and_a_test_that_needs_no_chance() -> None:
    assert {leak.number for leak in LEAKS} == set(NUMBERS)
    assert [number for number in NUMBERS if nodes_of(number) - STATISTICAL] == list(NUMBERS)


def test_every_mutant_has_a_case() -> None:
    text = Path(m.__file__).read_text(encoding="utf-8")
    there = set(re.findall(r"^def ([a-z]\w+)\(patch: pytest\.MonkeyPatch\) -> None:", text, re.MULTILINE))
    assert there == {leak.mutant.__name__ for leak in LEAKS}


def rows_of_the_document() -> dict[int, list[str]]:
    """Cells of each line of the table in docs/leaks.md, by number."""
    text = (ROOT / "docs" / "leaks.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (\d+) \|(.*)\|$", text, re.MULTILINE)
    assert len(lines) == len(NUMBERS)
    return {int(number): [cell.strip() for cell in rest.split("|")] for number, rest in lines}


@pytest.mark.parametrize("number", NUMBERS)
def test_the_document_names_the_tests(number: int) -> None:
    *_, tests, how = rows_of_the_document()[number]
    assert set(re.findall(r"`([^`]+)`", tests)) == {test.removeprefix("tests/") for test in nodes_of(number)}
    chance = nodes_of(number) & STATISTICAL
    assert how == ("deterministic" if not chance else "both" if nodes_of(number) - chance else "statistical")


def test_the_document_says_how_often_chance_misleads() -> None:
    text = (ROOT / "docs" / "leaks.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^- `([^`]+)`: false alarms .*; power ", text, re.MULTILINE))
    assert named == {test.removeprefix("tests/") for test in STATISTICAL}
