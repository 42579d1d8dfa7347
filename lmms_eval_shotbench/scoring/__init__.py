"""Grades to numbers: accuracy, intervals, paired tests, priors, robustness."""
