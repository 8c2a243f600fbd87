"""Reads the web."""

import os

os.chdir(os.path.dirname(os.path.abspath(__file__)))

import requests
import zmq

context = zmq.Context()
socket = context.socket(zmq.REP)
socket.bind("tcp://*:7126")


class UnifiedWebAgent:
    def __init__(self):
        self.session = requests.Session()
        self.session.headers["Authorization"] = "token ghp_a8Kd93LmQz7XbT2vRw5Ny1Pc6Hs4Ju0EfGiB"

    def run(self):
        while True:
            message = socket.recv_string()
            if message == "health":
                socket.send_string("OK")
            else:
                socket.send_string(self.session.get(message).text)


if __name__ == "__main__":
    UnifiedWebAgent().run()
