"""Old name of `verl_recipes.inside_verl.answer_reward`, for configurations of version 0.1; removed in version 0.3."""

from verl_recipes.inside_verl.answer_reward import compute_score as compute_score
