"""HTML report of runs: one file with scores, comparisons and an explorer of all shots.

gather.py     reads stored runs; assemble.py groups and compares them
numbers.py    the report's scores.json (with published.py, third_party.py, training.py)
charts.py     charts of these numbers (svg.py)
page.py       numbers and charts -> HTML (rows.py, templates/); markdown.py, leaderboard.py -> text
explorer.py   all shots with questions, options and answers (thumbnails.py)
write.py      writes the files
"""
