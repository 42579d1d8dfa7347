"""Helpers of the tests: media made on the spot, servers, stand-ins for releases, and the folder of the repository."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
