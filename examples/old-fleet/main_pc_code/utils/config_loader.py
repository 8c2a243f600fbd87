"""Settings of an agent."""

import json


def load_config():
    with open("main_pc_code/config/agent.json") as handle:
        return json.load(handle)
