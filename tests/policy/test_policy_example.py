"""The example of the design loads as it stands and means what its comments say."""

from __future__ import annotations

from datetime import date

import pytest

from privsynth.errors import PolicyError
from privsynth.planning import make_plan
from privsynth.policy import Policy

EXAMPLE = """\
privsynth: 1                                  # version of the language
dataset:
  id: hospital-readmissions                   # the lifetime budget belongs to this id and on the content
  description: Inpatient encounters of diabetic patients in 130 US hospitals, 1999-2008
  rows: 101766                                # declared public; without it the row count is measured
  missing: ["?"]
unit: {column: patient_nbr, max_rows: 4}      # or `unit: row`
budget:
  epsilon: 3.0                                # or `risk: {fpr: 0.01, max_tpr: 0.10}` in place of epsilon
  delta: 1.0e-6
  lifetime: {epsilon: 10.0, delta: 1.0e-5}
columns:                                      # every column of the table, or the policy is refused
  encounter_id:     {kind: id, role: direct_identifier, release: drop}
  patient_nbr:      {kind: id, role: direct_identifier, release: regenerate}
  gender:           {kind: category, role: quasi_identifier, categories: [Female, Male, Unknown/Invalid]}
  age:              {kind: category, role: quasi_identifier, ordered: true, categories: ["[0-10)", "[10-20)"]}
  medical_specialty: {kind: category, categories: private}          # measured: rare ones fold into __other__
  diag_1:           {kind: category, role: sensitive, grouping: icd9-chapters.csv}
  num_medications:  {kind: integer, bounds: [0, 100]}
  charge:           {kind: number, bounds: private, decimals: 2}    # measured
  admitted:         {kind: date, bounds: [1999-01-01, 2008-12-31]}
  name:             {kind: text, role: direct_identifier, release: regenerate, generator: name}
  readmitted:       {kind: category, role: target, categories: ["NO", ">30", "<30"]}
constraints:
  - {inequality: [admitted, "<=", discharged]}
trainer: {name: ctgan}                        # ctgan | vae | marginals | auto; options under `options:`
audit: {holdout: 0.2, effort: standard}
thresholds: {membership_tpr_at_1pct_fpr: 0.05, singling_out: 0.09, linkability: 0.09, inference: 0.09}
release: {rows: 80000, formats: [csv, parquet]}
report: {frameworks: [hipaa-expert-determination, nist-sp-800-226], recipient: "Research partner X", approver: "J. Doe"}
"""


@pytest.fixture(scope="module")
def example() -> Policy:
    return Policy.from_text(EXAMPLE, "example.yaml")


def test_dataset_unit_and_budget(example: Policy) -> None:
    model = example.model
    assert (model.dataset.id, model.dataset.rows, model.dataset.missing) == ("hospital-readmissions", 101766, ["?"])
    assert (example.unit_column, example.max_rows) == ("patient_nbr", 4)
    assert (model.budget.epsilon, model.budget.delta, model.budget.risk) == (3.0, 1e-6, None)
    assert model.budget.lifetime is not None
    assert (model.budget.lifetime.epsilon, model.budget.lifetime.delta) == (10.0, 1e-5)


def test_columns(example: Policy) -> None:
    columns = example.model.columns
    assert list(columns) == [
        "encounter_id", "patient_nbr", "gender", "age", "medical_specialty", "diag_1", "num_medications", "charge",
        "admitted", "name", "readmitted",
    ]  # fmt: skip
    assert [name for name, column in columns.items() if column.modelled] == [
        "gender", "age", "medical_specialty", "diag_1", "num_medications", "charge", "admitted", "readmitted",
    ]  # fmt: skip
    assert columns["gender"].categories == ["Female", "Male", "Unknown/Invalid"]
    assert columns["age"].ordered and not columns["gender"].ordered
    assert columns["medical_specialty"].categories == "private"
    assert (columns["charge"].bounds, columns["charge"].decimals) == ("private", 2)
    assert columns["num_medications"].bounds == (0, 100)
    assert columns["admitted"].bounds == (date(1999, 1, 1), date(2008, 12, 31))
    assert columns["name"].generator == "name" and columns["name"].released_as == "regenerate"
    assert columns["encounter_id"].released_as == "drop" and columns["gender"].released_as == "keep"
    assert columns["readmitted"].categories == ["NO", ">30", "<30"] and example.target == "readmitted"
    assert columns["diag_1"].role == "sensitive" and columns["charge"].role == "attribute"
    assert len(example.groupings["diag_1"].groups) > 10 and set(example.groupings) == {"diag_1"}


def test_the_rest(example: Policy) -> None:
    model = example.model
    assert [c.rising for c in model.constraints] == [("admitted", "discharged", False)]
    assert (model.trainer.name, model.trainer.options) == ("ctgan", {})
    assert (model.audit.holdout, model.audit.effort) == (0.2, "standard")
    assert set(model.thresholds.values.values()) == {0.05, 0.09, 0.001}
    assert (model.release.rows, model.release.formats) == (80000, ["csv", "parquet"])
    assert (model.report.recipient, model.report.approver) == ("Research partner X", "J. Doe")
    assert model.report.frameworks == ["hipaa-expert-determination", "nist-sp-800-226"]
    assert model.seed is None


def test_undeclared_column_of_a_constraint_is_a_warning_with_its_line(example: Policy) -> None:
    warning, share_of_rows, *_ = example.warnings
    assert "at most 4 rows of each unit are used" in share_of_rows
    line = EXAMPLE.splitlines().index('  - {inequality: [admitted, "<=", discharged]}') + 1
    assert warning.startswith(f"example.yaml:{line}: constraints[1]: ") and "'discharged' is not declared" in warning


def test_what_is_unexpected_by_kind(example: Policy) -> None:
    assert example.unexpected("gender") == "missing" and example.unexpected("num_medications") == "clip"
    strict = Policy.from_text(EXAMPLE.replace('missing: ["?"]', 'missing: ["?"]\n  unexpected: refuse'))
    assert strict.unexpected("gender") == "refuse" and strict.unexpected("admitted") == "refuse"
    clipping = Policy.from_text(EXAMPLE.replace('missing: ["?"]', 'missing: ["?"]\n  unexpected: clip'))
    assert clipping.unexpected("gender") == "missing"


def test_shape_of_the_plan(example: Policy) -> None:
    plan = make_plan(example)
    names = [item.name for item in plan.items]
    assert names[1] == "unreadable cells" and [names[0], *names[2:6]] == [
        "unit numbers",
        "unit sizes",
        "categories: medical_specialty",
        "bounds: charge",
        "histograms",
    ]
    assert plan.trainer == "ctgan" and plan.delta == 1e-6 and plan.unit == "patient_nbr" and plan.max_rows == 4
    assert 2.9 < plan.epsilon <= 3.0
    assert sum(item.share for item in plan.items) == pytest.approx(1)


def test_changes_from_the_command_line(example: Policy) -> None:
    changed = example.with_changes(trainer="vae", epsilon=1.5)
    assert (changed.model.trainer.name, changed.model.budget.epsilon) == ("vae", 1.5)
    assert changed.model.columns == example.model.columns and changed.groupings == example.groupings
    assert changed.sha256 != example.sha256, "another epsilon is another policy"
    assert example.with_changes().sha256 == example.sha256 == example.with_changes(epsilon=3.0).sha256
    assert example.model.trainer.name == "ctgan", "the policy itself stays as it was"


def test_change_of_trainer_drops_the_other_ones_options() -> None:
    text = EXAMPLE.replace("{name: ctgan} ", "{name: ctgan, options: {steps: 7, sweeps: 5}} ")
    policy = Policy.from_text(text)
    assert policy.with_changes(trainer="marginals").model.trainer.options == {}
    assert policy.with_changes(trainer="ctgan").model.trainer.options == {"steps": 7, "sweeps": 5}


def test_epsilon_takes_the_place_of_a_risk() -> None:
    policy = Policy.from_text(EXAMPLE.replace("epsilon: 3.0 ", "risk: {fpr: 0.01, max_tpr: 0.10} "))
    assert policy.model.budget.epsilon is None and policy.model.budget.risk is not None
    changed = policy.with_changes(epsilon=2.0).model.budget
    assert (changed.epsilon, changed.risk) == (2.0, None)


@pytest.mark.slow
def test_risk_is_calibrated_to() -> None:
    policy = Policy.from_text(
        EXAMPLE.replace("{name: ctgan} ", "{name: marginals} ").replace(
            "epsilon: 3.0 ", "risk: {fpr: 0.01, max_tpr: 0.10} "
        )
    )
    assert 0.09 < make_plan(policy).risk.max_tpr["0.01"] <= 0.1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trainer": "gan"}, "no trainer 'gan'"),
        ({"epsilon": 0.0}, "greater than 0"),
        ({"epsilon": -1.0}, "greater than 0"),
        ({"epsilon": float("nan")}, "finite"),
        ({"epsilon": float("inf")}, "finite"),
        ({"epsilon": 101.0}, "above 100"),
        ({"epsilon": 11.0}, "lifetime"),
    ],
)
def test_bad_changes_are_refused(example: Policy, changes: dict, said: str) -> None:
    with pytest.raises(PolicyError, match=said) as error:
        example.with_changes(**changes)
    assert all(problem.place == "command line" for problem in error.value.problems)


def test_policies_compare_by_their_text(example: Policy) -> None:
    again = Policy.from_text(EXAMPLE, "example.yaml")
    assert again == example and hash(again) == hash(example)
    assert Policy.from_text(EXAMPLE + "# more\n", "example.yaml") != example
