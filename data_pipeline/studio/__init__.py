"""A virtual film studio: sets, figures, light and a camera, whose shots have their ground truth by construction."""
