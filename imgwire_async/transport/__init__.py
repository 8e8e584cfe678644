"""HOW things travel: sessions, slots, clocks, retries. The only place that imports aiohttp, and it has never heard of an image."""
