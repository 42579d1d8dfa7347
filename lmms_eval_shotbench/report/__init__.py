"""Results -> one HTML file: what a model sees and where it is blind.

gather.py     runs as they are stored; assemble.py sorts and compares them
numbers.py    what they come to: the report's scores.json (with published, training, responses_told)
charts.py     these numbers drawn (svg.py)
page.py       numbers and charts -> HTML (rows.py, templates/); markdown.py -> tables in text
explorer.py   all shots with questions, options and answers (embedding.py, thumbnails.py)
write.py      the files
"""
