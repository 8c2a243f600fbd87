"""Metrics, traces and logs of one process; nothing here opens a connection.

tracing    spans of sampled turns (W3C Trace Context), handed to a process-wide sink
metrics    counters, gauges and histograms, rendered as Prometheus text
logs       JSON lines on standard error that never raise and never block for long
resource   whose telemetry this is: agent and machine
"""
