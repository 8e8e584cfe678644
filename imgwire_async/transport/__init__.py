"""The HTTP transport: sessions, slots, timeouts and retries.

At run time no other module of the client imports aiohttp.
"""
