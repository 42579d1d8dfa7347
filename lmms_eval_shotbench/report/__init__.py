"""Results -> one HTML file: what a model sees and where it is blind.

gather.py     runs as they are stored -> `ReportData`
numbers.py    `ReportData` -> the numbers of the report, as they stand in its scores.json
charts.py     these numbers -> SVG
page.py       these numbers and charts -> HTML; markdown.py -> a table for a model card
published.py  figures of others
explorer.py   all shots with questions, options and answers
"""
