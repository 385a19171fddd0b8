"""What both membership attacks share: scores of members and of others -> TPR at 1 % FPR, ROC and AUC."""

from __future__ import annotations

import numpy as np

from privsynth.audit.statistics import Measurement, auc_delong, exact_test, roc_points, tpr_at_fpr, tpr_error

FALSE_POSITIVES = 0.01
STATISTIC = "TPR at 1 % FPR"


def measure_scores(members: np.ndarray, others: np.ndarray, confidence: float) -> Measurement:
    """Scores (higher: more likely a member), float[n] each -> measurement. Nothing if a side is empty."""
    if len(members) == 0 or len(others) == 0:
        return Measurement.nothing()
    value, low, high = tpr_at_fpr(members, others, FALSE_POSITIVES, confidence)
    significant, critical_value = exact_test(members, others, FALSE_POSITIVES, (1 - confidence) / 2)
    return Measurement(
        value,
        low,
        high,
        baseline=FALSE_POSITIVES,
        significant=significant,
        error=tpr_error(members, others, FALSE_POSITIVES),
        critical_value=critical_value,
        roc=roc_points(members, others),
        auc=auc_delong(members, others, confidence),
    )
