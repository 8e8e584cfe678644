"""`client.images`: list, retrieve, wait for and delete images. The base classes upload and download images.

[contract 2, 6]
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    Callable,
    Generator,  # noqa: F401  # pyright: ignore[reportUnusedImport]  # for annotations of the blocking client
    Iterable,
    Mapping,
    Sequence,
)

from imgwire_async import checks
from imgwire_async.models import Image
from imgwire_async.protocol.request import Request, path_segment
from imgwire_async.resources import arguments, bulk, waiting
from imgwire_async.resources.arguments import Id
from imgwire_async.resources.base import UNDOCUMENTED_BODY
from imgwire_async.resources.image_downloads import ImageDownloads
from imgwire_async.resources.image_uploads import ImageUploads
from imgwire_async.resources.pages import page_params
from imgwire_async.results import BulkDeleteResult, Page
from imgwire_async.uploads.requests import retrieve_request


class AsyncImages(ImageUploads, ImageDownloads):
    """`client.images`: upload, list, retrieve, wait for, download and delete images."""

    async def list(self, *, page: int = 1, limit: int | None = None) -> Page[Image]:
        """Return one page of images, in the order of the service.

        `page` is the number of the page, from 1. `limit` is the maximum number of images on the page, from 1
        to 100. None takes the service's default of 20. [GET /images/]
        """
        return await self._page(_page_request(page_params(page, limit)))

    async def list_pages(
        self, *, page: int = 1, limit: int = 100, prefetch: int = 8
    ) -> AsyncGenerator[Page[Image], None]:
        """Yield the pages of the list of images in order, beginning with page number `page`.

        A page has at most `limit` images (1 to 100). Up to `prefetch` pages (1 to 1000) are requested ahead.

        When images are created or deleted during the iteration, other images move to a different page. So
        images may be skipped or repeated. To delete images that you list, collect the ids first.

        [GET /images/]
        """
        async with self._pages(_page_request, page, limit, prefetch) as pages:
            async for current_page in pages:
                yield current_page

    async def list_all(
        self, *, page: int = 1, limit: int = 100, prefetch: int = 8
    ) -> AsyncGenerator[Image, None]:
        """Yield the images in order, beginning with those of page number `page`.

        Images are fetched in pages of `limit` images (1 to 100). Up to `prefetch` pages (1 to 1000) are
        requested ahead.

        When images are created or deleted during the iteration, other images move to a different page. So
        images may be skipped or repeated. To delete images that you list, collect the ids first, then call
        `bulk_delete`. [GET /images/]
        """
        async with self._pages(_page_request, page, limit, prefetch) as pages:
            async for current_page in pages:
                for image in current_page.data:
                    yield image

    async def retrieve(self, image_id: Id) -> Image:
        """Fetch the current record of the image `image_id`, and return it.

        Raises `NotFoundError` when the environment has no such image, or when it was deleted.
        [GET /images/{image_id}]
        """
        return await self._call(retrieve_request(image_id))

    async def wait_until_ready(
        self,
        image: Image | Id,
        *,
        timeout: float = 120.0,
        metadata: bool = False,
        on_update: Callable[[Image], object] | None = None,
    ) -> Image:
        """Wait until an image is READY, and return its record.

        Args:
            image: An `Image`, or the id of an image. An `Image` that is READY already is returned without a
                request.
            timeout: Maximum time to wait, in seconds.
            metadata: If True, the method waits, in addition, until the size and `exif_data` are final
                (`processed_metadata_at` is set).
            on_update: Called with the record from each response.

        Returns:
            The record of the image, whose status is READY.

        Raises:
            ImageQuarantinedError: The service put the image into QUARANTINE.
            WaitTimeoutError: The image was not READY after `timeout` seconds.
            NotFoundError: The environment has no such image.

        [GET /images/{image_id}]
        """
        limit = checks.positive_seconds("timeout", timeout)
        metadata = checks.flag("metadata", metadata)
        checks.plain_callable("on_update", on_update)
        if not isinstance(image, Image):
            path_segment("image", image)
        transport = self._transport_for("wait_until_ready")
        return await waiting.wait_for_image(
            self, transport, image, limit, metadata=metadata, on_update=on_update
        )

    async def delete(self, image_id: Id) -> Mapping[str, object]:
        """Delete the image `image_id` permanently, and return the body of the response.

        The service does not document the body. Raises `NotFoundError` when there is no image with this id.
        After a lost response, the call is retried. If the retry gets the status 404, the first request has
        probably deleted the image. So the call succeeds, and the result is an empty dict.
        [DELETE /images/{image_id}]
        """
        return await self._call(
            Request(
                "DELETE",
                "/images/{image_id}",
                UNDOCUMENTED_BODY,
                {"image_id": path_segment("image_id", image_id)},
            )
        )

    async def bulk_delete(self, image_ids: Iterable[Id], *, chunk_size: int = 100) -> BulkDeleteResult:
        """Delete the images `image_ids`, with at most `chunk_size` ids per request.

        When one request fails, the following requests are still sent. The result has three lists: `deleted`
        ids, `failed` ids with their errors, and `unknown` ids, for which the response was lost. This method
        raises an error only when the first request gets the status 401, 402 or 403, or when the deadline
        passes. [POST /images/bulk_delete]
        """
        size = checks.integer("chunk_size", chunk_size, minimum=1)
        ids = arguments.ids("image_ids", image_ids, spelling="images.bulk_delete([id, ...])")
        with bulk.add_deleted_count_to_timeout(len(ids)) as deleted:
            async with self._operation("images.bulk_delete"):
                return await bulk.delete_in_batches(ids, size, self._delete_batch, deleted)

    async def _delete_batch(self, ids: Sequence[str]) -> Mapping[str, object]:
        """Send one request that deletes images, and return the body of the response."""
        return await self._call(
            Request("POST", "/images/bulk_delete", UNDOCUMENTED_BODY, json={"image_ids": ids})
        )


def _page_request(params: Mapping[str, int]) -> Request[list[Image]]:
    """Return the request for one page of images."""
    return Request("GET", "/images/", list[Image], params=params)
