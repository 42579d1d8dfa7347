"""Old name of `verl_recipes.inside_verl.film_dataset`, for configurations of version 0.1; removed in version 0.3."""

from verl_recipes.inside_verl.film_dataset import FilmLessons as FilmLessons
from verl_recipes.inside_verl.film_dataset import FilmPrompts as FilmPrompts
