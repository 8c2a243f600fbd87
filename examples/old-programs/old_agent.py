"""An agent of the old kind: a REP socket on the port it is told, JSON in and out."""

import json
import sys

import zmq

link = zmq.Context().socket(zmq.REP)
link.bind(f"tcp://127.0.0.1:{sys.argv[1]}")
while True:
    request = json.loads(link.recv())
    if request.get("action") == "health_check":
        link.send_json({"status": "ok", "service": "OldAgent"})
    else:
        link.send_json({"status": "success", "you_said": request})
