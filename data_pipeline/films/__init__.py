"""Own film in: films and an annotation table become labelled shots with their media."""
