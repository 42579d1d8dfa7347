"""Old name of `verl_recipes.inside_verl.main_sft`, for commands and scripts of version 0.1; removed in version 0.3."""

from verl_recipes.inside_verl.main_sft import main

if __name__ == "__main__":
    main()
