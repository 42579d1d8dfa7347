"""The page of labels: looked at, searched and corrected in a browser."""
