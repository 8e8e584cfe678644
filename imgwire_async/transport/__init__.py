"""The HTTP transport: sessions, slots, timeouts and retries.

A client uses aiohttp only through these modules. The other modules of a client do not import aiohttp at run
time.
"""
