"""Sparse feature circuits (Marks et al., arXiv:2403.19647): nodes, edges, and how much of the behaviour they carry.

prompts.py        pairs of prompts of one length, and what is measured of them
dictionaries.py   the dictionaries whose atoms are the nodes, in the order of the forward pass, loaded when they are needed
passes.py         forward and backward passes of a batch: activations, gradients, the metric
order.py          which nodes a circuit of N nodes has
kept.py           runs in which some nodes keep their value and all others get their mean
faithfulness.py   circuit_faithfulness: circuits of growing size alone, and all but them
prediction.py     circuit_prediction: what the model says with nodes scaled
"""
