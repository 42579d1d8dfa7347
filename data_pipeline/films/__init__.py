"""Your own films: a folder of films and an annotation table become labelled shots with their media."""
