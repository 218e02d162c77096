"""Named experiments: what is trained, and what others report of it."""

from foveax.recipes.recipe import Recipe as Recipe
from foveax.recipes.recipe import Row as Row
from foveax.recipes.recipe import format_results as format_results
from foveax.recipes.recipe import run_recipe as run_recipe
from foveax.recipes.tables import RECIPES as RECIPES
