"""Errors to NATS. Half of the fleet knows of it."""

import asyncio
import json


async def _publish(subject, data):
    import nats

    connection = await nats.connect("nats://localhost:4222")
    await connection.publish(subject, json.dumps(data).encode())
    await connection.drain()


def report_error(error_type, message, severity="ERROR", details=None):
    """Report one error and wait until it is out."""
    data = {"error_type": error_type, "message": message, "severity": severity, "details": details or {}}
    asyncio.run(_publish(f"errors.{severity.lower()}", data))
