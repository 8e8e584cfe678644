"""Asyncio-first SDK for the Imgwire image hosting API."""

__version__ = "0.1.0"
