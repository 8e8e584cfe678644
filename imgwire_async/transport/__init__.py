"""The HTTP transport: sessions, slots, timeouts and retries.

Of all modules that a client uses, only modules of this package import aiohttp at run time.
"""
