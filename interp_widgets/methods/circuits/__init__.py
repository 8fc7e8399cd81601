"""Sparse feature circuits (Marks et al., arXiv:2403.19647): nodes, edges, and how much of the behaviour they carry.

prompts.py        pairs of prompts of one length, and what is measured of them
dictionaries.py   the dictionaries whose atoms are the nodes, in the order of the forward pass, loaded when they are needed
passes.py         forward and backward passes of a batch: activations, gradients, the metric
edges.py          circuit_edges: effects from node to node over direct paths, as a frame
kept_nodes.py     the nodes that edges are asked of: what the pass has to know of each
direct.py         that pass: every dictionary's site a leaf, many nodes a gradient
order.py          which nodes a circuit of N nodes has
kept.py           runs in which some nodes keep their value and all others get their mean
faithfulness.py   circuit_faithfulness: circuits of growing size alone, and all but them
prediction.py     circuit_prediction: what the model says with nodes scaled
"""
