"""WHAT is asked: the operations of the service, a few lines each. Knows requests, models and a transport; has never heard of aiohttp."""
