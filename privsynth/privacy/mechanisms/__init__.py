"""Everything that may look at private rows to learn from them. Adding a mechanism is one class and one line here.

`PrivateTable.measure` runs nothing else, and the conformance tests demand a case for each.
"""

MECHANISMS = frozenset({
    "privsynth.privacy.mechanisms.counts.RowCount",
    "privsynth.privacy.mechanisms.counts.UnitSizes",
    "privsynth.privacy.mechanisms.counts.PrivateBounds",
    "privsynth.privacy.mechanisms.categories.OpenCategories",
    "privsynth.privacy.mechanisms.tables.Histograms",
    "privsynth.privacy.mechanisms.tables.Marginals",
    "privsynth.privacy.mechanisms.dpsgd.DPSGD",
})  # fmt: skip
DP_SGD = "dp-sgd"  # the name of `dpsgd.DPSGD`; it stands here because plans name it, and `dpsgd` imports torch
