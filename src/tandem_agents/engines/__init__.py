"""Adapters to the models the assistant thinks, listens and speaks with.

``kinds`` has the interfaces, ``select`` makes engines from settings, ``models`` knows and fetches model files.
Importing any of these loads none of the libraries behind them.
"""
