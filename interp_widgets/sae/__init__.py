"""Dictionaries: encode and decode, one loader per format."""

from .dictionary import Dictionary as Dictionary
from .dictionary import GroupMax as GroupMax
from .dictionary import JumpReLU as JumpReLU
from .dictionary import Linear as Linear
from .dictionary import ReLU as ReLU
from .dictionary import TopK as TopK
