"""Sparse feature circuits (Marks et al., arXiv:2403.19647): nodes, edges, and how much of the behaviour they carry.

prompts.py        pairs of prompts of one length, and what is measured of them
dictionaries.py   the dictionaries whose atoms are the nodes, in the order of the forward pass, loaded when they are needed
passes.py         forward and backward passes of a batch: activations, gradients, the metric
edges.py          circuit_edges: effects from node to node over direct paths, as a frame
kept.py           the nodes that edges are asked of: what the pass has to know of each
direct.py         that pass: every dictionary's site a leaf, many nodes a gradient
"""
