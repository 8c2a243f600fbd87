"""An agent of the old kind: a REP socket, JSON in and out."""

import json

import zmq

link = zmq.Context().socket(zmq.REP)
link.bind("tcp://127.0.0.1:7261")
while True:
    request = json.loads(link.recv())
    if request.get("action") == "health_check":
        link.send_json({"status": "ok", "service": "OldAgent"})
    else:
        link.send_json({"status": "success", "you_said": request})
