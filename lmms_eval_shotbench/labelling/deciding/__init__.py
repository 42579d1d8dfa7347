"""From votes to labels: decisions with calibrated confidence, and contradictions between labels."""
