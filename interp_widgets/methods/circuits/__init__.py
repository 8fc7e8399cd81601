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
prediction.py     circuit_prediction: what the model says with nodes scaled; circuit_change: the metric over prompts
nodes.py          circuit: effects of nodes, by attribution, integrated gradients or exact runs
reading.py        prompts at all sites, read once; which tokens can differ
values.py         what the atoms and the error of a site are worth, and what a change of each does to first order
changed.py        runs with other values at a site: gradients along a way, many changes as rows
exact.py          which run each node needs
run.py            sums over prompts, their means and intervals, the frame and the heat strip
check.py          circuit_check: exact effects of the largest nodes beside their estimates
"""
