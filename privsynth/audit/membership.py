"""What membership attacks share: scores of members and non-members -> TPR at 1 % FPR, ROC and AUC."""

from __future__ import annotations

import numpy as np

from privsynth.audit.statistics import Measurement, auc_delong, roc_points, tpr_at_fpr, tpr_error

FALSE_POSITIVES = 0.01
STATISTIC = "TPR at 1 % FPR"


def measure_scores(members: np.ndarray, non_members: np.ndarray, confidence: float) -> Measurement:
    """Scores (higher: more likely a member), float[n] each -> measurement. No value if either group is empty."""
    if len(members) == 0 or len(non_members) == 0:
        return Measurement.nothing()
    value, low, high = tpr_at_fpr(members, non_members, FALSE_POSITIVES, confidence)
    return Measurement(
        value,
        low,
        high,
        baseline=FALSE_POSITIVES,
        error=tpr_error(members, non_members, FALSE_POSITIVES),
        people=min(len(members), len(non_members)),
        roc=roc_points(members, non_members),
        auc=auc_delong(members, non_members, confidence),
    )
