"""Methods: one file each, citing its paper; a session goes in, a checked frame comes out."""

from .ablation import ablation as ablation
from .activation_patching import activation_patching as activation_patching
from .atom_activations import atom_activations as atom_activations
from .atom_activations import reconstruction as reconstruction
from .atom_patching import atom_patching as atom_patching
from .attention import attention as attention
from .attribution_patching import attribution_patching as attribution_patching
from .audit import audit as audit
from .context_effects import context_summary as context_summary
from .context_effects import effect_over_contexts as effect_over_contexts
from .error_effect import error_effect as error_effect
from .head_scores import head_scores as head_scores
from .logit_lens import lens_lines as lens_lines
from .logit_lens import logit_lens as logit_lens
from .patching_pairs import pair_summary as pair_summary
from .patching_pairs import patching_pairs as patching_pairs
from .path_patching import path_patching as path_patching
from .predictions import predictions as predictions
from .probes import concept_directions as concept_directions
from .probes import fit_probe as fit_probe
from .probes import null_space_directions as null_space_directions
from .single_patch import continuations as continuations
from .single_patch import single_patch as single_patch
from .splitting import splitting as splitting
