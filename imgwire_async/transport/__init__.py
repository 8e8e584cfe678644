"""The HTTP transport: sessions, slots, timeouts and retries. Only this package imports aiohttp."""
