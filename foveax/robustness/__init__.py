"""Attacks on any JAX classifier: small changes of an image that make a loss as large as possible."""

from foveax.robustness.apgd import apgd as apgd
from foveax.robustness.balls import Ball as Ball
from foveax.robustness.balls import l2 as l2
from foveax.robustness.balls import linf as linf
from foveax.robustness.corruptions import CORRUPTIONS as CORRUPTIONS
from foveax.robustness.ensemble import attack_in_turn as attack_in_turn
from foveax.robustness.ensemble import autoattack as autoattack
from foveax.robustness.gradient_attacks import fgsm as fgsm
from foveax.robustness.gradient_attacks import noise as noise
from foveax.robustness.gradient_attacks import pgd as pgd
from foveax.robustness.minimum_norm import SmallestChange as SmallestChange
from foveax.robustness.minimum_norm import minimum_norm as minimum_norm
from foveax.robustness.objectives import conjunction as conjunction
from foveax.robustness.objectives import cross_entropy as cross_entropy
from foveax.robustness.objectives import dlr as dlr
from foveax.robustness.objectives import expectation as expectation
from foveax.robustness.objectives import margin as margin
from foveax.robustness.objectives import misclassification as misclassification
from foveax.robustness.objectives import runner_up as runner_up
from foveax.robustness.objectives import targeted_dlr as targeted_dlr
from foveax.robustness.outcomes import Outcome as Outcome
from foveax.robustness.outcomes import repeat as repeat
from foveax.robustness.square import square as square
from foveax.robustness.square_l2 import square_l2 as square_l2
