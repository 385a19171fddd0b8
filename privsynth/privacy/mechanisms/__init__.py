"""The mechanisms: all code that may read private rows in order to learn from them. To add one, write a class and list it here.

`PrivateTable.measure` runs no other class, and the conformance tests demand a case for each.
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
DP_SGD = "dp-sgd"  # the name of `dpsgd.DPSGD`; defined here because plans use it, and `dpsgd` imports torch
