"""Methods: one file each, citing its paper; a session goes in, a checked frame comes out."""

from .activation_patching import activation_patching as activation_patching
from .atom_activations import atom_activations as atom_activations
from .atom_activations import reconstruction as reconstruction
from .attention import attention as attention
from .attribution_patching import attribution_patching as attribution_patching
from .head_scores import head_scores as head_scores
from .logit_lens import lens_lines as lens_lines
from .logit_lens import logit_lens as logit_lens
from .patching_run import predictions as predictions
