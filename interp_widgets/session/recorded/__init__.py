"""A session's answers in one file, and a session that gives them again with no model.

file.py       the file: a zip of JSON and tensors, nothing that could be executed; needs no torch
keys.py       a name for a question that is the same wherever and whenever it is asked
answers.py    answers as JSON and tensors, and back
places.py     places on a disk, in words that hold elsewhere
facts.py      what a session knows of its model without the weights
book.py       states of panels, and how they lie in the file
holds.py      what a recording holds, for people
shown.py      a recording where torch is not installed: its panels, and nothing else
record.py     a session that keeps what it was answered
replay.py     a session that answers from the file
"""
