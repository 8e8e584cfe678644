"""The CDN host."""

from __future__ import annotations

from .raw_client import PNG, UNKNOWN_ID, RawClient


async def test_the_cdn_serves_the_original_bytes(client: RawClient) -> None:
    image = await client.upload()
    for suffix in ("", "@small", "@thumbnail?width=10", "?format=auto"):
        response = await client.get(image["cdn_url"] + suffix)
        assert (response.status, response.body, response.headers["Content-Type"]) == (200, PNG, "image/png")
    head = await client.get(image["cdn_url"], "HEAD")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(PNG)), b"")


async def test_the_cdn_returns_404_for_other_urls(client: RawClient) -> None:
    image = await client.upload()
    url: str = image["cdn_url"]
    for other_url in (
        f"{url}@huge",
        f"{url}/x",
        url.replace(image["id"], UNKNOWN_ID),
        url.replace(client.emulator.environment_id, UNKNOWN_ID),
    ):
        assert (await client.get(other_url)).status == 404
    assert (await client.get((await client.create())["image"]["cdn_url"])).status == 404
    rejected = await client.get(url, "POST")
    assert (rejected.status, rejected.headers["Allow"]) == (405, "GET, HEAD")
