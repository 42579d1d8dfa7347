"""Shots and labels for others: timelines of editing systems, captions for video generators."""
