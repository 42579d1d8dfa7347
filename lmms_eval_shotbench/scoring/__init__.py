"""Metrics on graded responses: accuracy, confidence intervals, paired tests, option prior, robustness."""
