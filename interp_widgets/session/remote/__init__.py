"""A model on a server: the same session, whose work travels there and whose results come back.

packing   work as bytes: code by its source, tensors beside it; and plain answers back into what they were
arrival   what the server does with them
request   one request on its way: sent, asked after, fetched
session   a session that sends its work
state     how far a request is, in numbers and in words
served    what a server has
tickets   what is left of a request when the kernel is gone; fingerprint names the call that it was for
"""
