"""A strict, stateful local Imgwire: API, presigned storage and CDN, each on a port of its own on this machine.

```python
async with Emulator() as emulator:      # in the running loop; plain `with` runs it in a thread of its own
    client = AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url)
    emulator.faults.add("PUT", "/uploads/*", status=503)
    ...
    assert emulator.requests[-1].status == 200
```

or `python -m imgwire_async.emulator --port 8080`. With `Emulator(tls=True)` or `--tls` all of it is https: a client with
`ssl=emulator.ssl_context` trusts it, another program with the file at `emulator.ca_path`. It imports nothing of the client, so neither hides the other's
mistakes. All three hosts answer through one door (`front.py`), which logs, plays the planned faults, and sets `Date` and the
headers that browsers want.

**Switches**: what the contract does not tell, as arguments of `Emulator`.

| switch | values, default first |
|---|---|
| `ready_after`, `ready_polls` | 0.0, 1: an image leaves PROCESSING at the first look after both: so many seconds since its bytes came, so many retrieves that saw PROCESSING. Listings look without counting. Both 0: READY with the PUT |
| `idempotency` | `same` image, a fresh URL while it is PENDING (later its last, used one); `conflict`: 409; `same_dead_url`: the same URL, dead or not; `ignored`: a new image each time. Other fields of a repeat are not compared |
| `signed_content_type` | True: the PUT carries exactly the declared `mime_type`, and none when none was declared; False: any or none |
| `url_lifetime` | 900.0 seconds, of upload and archive URLs |
| `null_sizes_while_pending` | False: width, height and size are 0 until the image is finished; True: null |
| `expired_status` | 403 or 400, both `AccessDenied`, "Request has expired" |
| `second_put` | `accepted`: 200 until the URL expires, the new bytes start a new life, as a store of the S3 kind has it; `refused`: 403 `AccessDenied` |
| `naive_dates` | `utc`: a date without a zone is in UTC; `refused`: 422 |
| `rate_limit` | None; N: more than N API requests in one second of real time get 429 with `Retry-After: 1` |

**Settings**: attributes to change while it runs; `reset()` brings the first values back.

| attribute | meaning |
|---|---|
| `client_limits` | `ClientLimits(maximum_upload_bytes, maximum_pending_uploads, allowed_mime_types, allow_unsigned_upload)` of the client key |
| `urls` | what the internet holds for `upload_via_url`: URL -> bytes |
| `claimed_hostnames` | host names that others have claimed: 409 |
| `domain_polls`, `download_polls` | 2, 2: the test that finds CONNECTED (the certificate is ACTIVE one later); the retrieve that finds a job READY or FAILED |
| `keep_bodies` | True: bodies up to 32 MiB stay whole; else, and above, hash, length, first MiB and last 64 KiB; these have no CDN or archive content |

**Assumptions**: fixed answers to the other open questions. [contract, where it says unknown or inferred]

| question | here |
|---|---|
| statuses | `InvalidTokenError` 401, `PaymentRequiredError` 402 (pending limit), `OperationNotAllowedError` 403 (server-only operation, client key without upload token, over its size or type), `ResourceNotAuthorizedError` 403 (other environment), `ResourceNotFoundError` 404, `ConflictError` 409 (idempotency, host name), `InvalidUrlError` 422, `RateLimitError` 429 |
| order of checks | rate, route, key, environment, operation, path, query, body |
| routes | unknown 404, wrong method 405 with `Allow`, wrong last slash 307, as FastAPI; so `//api/v1/...`, from SDKs that do not cut the last slash of a base URL, is 404; API bodies over 1 MiB 413 |
| without a key | `GET /health`: `{"status": "ok"}`, outside of log, faults and limits, for scripts that wait; `GET /api/v1/openapi-server.json`: the 20 operations as the emulator checks them, made by it, not the vendor's file |
| values | ids are hyphenated UUIDs; JSON numbers are no text; unknown fields pass; dates as pydantic takes them: 1 to 9 fraction digits, cut after six, no seconds, no time, seconds or milliseconds since 1970 |
| upload tokens | 900 s, one use, also when a repeat carries the same idempotency key; a failed create does not use them |
| client key limits | the declared `content_length` counts; undeclared lengths pass |
| record before its bytes | `mime_type` declared, else by the name, else `image/jpeg`; `extension` without a dot |
| record after | type, extension and size from the bytes; `processed_metadata_at` with READY; a few EXIF fields by name |
| QUARANTINE | no picture, not whole, or another type than declared; size 0 x 0, `size_bytes` real, `processed_metadata_at` null; `emulator.images[id].reason` says why |
| `hash_sha256` | stored, never compared |
| deleting | gone from lists, 404, 404 on the CDN; `bulk_delete` deletes all or, with an unknown id, none (404) |
| lists | newest first |
| upload by URL | own CDN URLs and `urls`; others are not public or can't be fetch_remote (422), over 100 MiB too; the answer is PROCESSING |
| upload URL | signs method, raw target, `Host`, declared type and length; `Content-Length` always needed (411 without); `Authorization` 400, `Cookie` and `x-amz-*` headers 403; `Expect: 100-continue` is answered after the checks |
| download jobs | unknown ids 404; FAILED when no image is READY with its bytes; each retrieve of a READY job mints a fresh link; ZIP, stored, `name (2).ext` for doubles |
| custom domain | at least three labels; one per environment (409) |
| CORS, who | `standard_upload` and the retrieve of an image obey the patterns (none: any origin); storage and CDN let any origin; other operations none, for browsers have no server key |
| CORS, patterns | stored as given; a host, `*.` for any subdomain, a port when it is not the default one; with a scheme, a path or a blank, or `*` alone, a pattern matches nothing |
| CORS, answers | every answer, refusals and faults too (a fault with an `Access-Control-Allow-Origin` of its own keeps that); any request header is allowed, cookies are not; a mismatch takes the headers away, nothing else |
| preflights | 200, kept for 600 s by browsers; in the log as `OPTIONS`; no rate limit or metrics count them, and of the faults only those for `"OPTIONS"` meet them |
| CDN | GET and HEAD, original bytes; presets and rules are taken and ignored |
| metrics | last 24 hours; an upload counts when READY; requests and bytes of the CDN host; `storage_bytes` is the level at the end of the range; at most 10,000 points (422) |
"""

from __future__ import annotations

from imgwire_async.emulator.configuration import ClientLimits
from imgwire_async.emulator.faults import PlannedFault
from imgwire_async.emulator.log import RequestRecord
from imgwire_async.emulator.server import Emulator

__all__ = ["ClientLimits", "Emulator", "PlannedFault", "RequestRecord"]
