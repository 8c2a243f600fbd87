"""Ways for frames to travel; each has a listener for the callee and ``connect`` for the caller.

memory   within one process, for tests (works on a virtual-time loop)
unix     between processes of one machine
zmq      between machines, encrypted by CURVE
"""
