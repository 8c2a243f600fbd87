"""The pool most agents never used."""

import zmq

_context = zmq.Context.instance()
TIMEOUT_MS = 5000


class PooledSocket:
    def __init__(self, socket):
        self.socket = socket


def _open(kind, endpoint, bind):
    made = _context.socket(kind)
    made.setsockopt(zmq.LINGER, 0)
    made.setsockopt(zmq.RCVTIMEO, TIMEOUT_MS)
    (made.bind if bind else made.connect)(endpoint)
    return PooledSocket(made)


def get_req_socket(endpoint) -> PooledSocket:
    return _open(zmq.REQ, endpoint, bind=False)


def get_rep_socket(endpoint) -> PooledSocket:
    return _open(zmq.REP, endpoint, bind=True)


def get_sub_socket(endpoint) -> PooledSocket:
    return _open(zmq.SUB, endpoint, bind=False)


def get_pub_socket(endpoint) -> PooledSocket:
    return _open(zmq.PUB, endpoint, bind=True)
