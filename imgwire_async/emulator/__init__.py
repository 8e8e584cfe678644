"""A strict, stateful Imgwire server on this machine, for development and tests.

It serves the API, the presigned storage and the CDN, each on a port of its own.

```python
async with Emulator() as emulator:      # in the running event loop; plain `with` starts a thread
    client = AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url)
    emulator.faults.add("PUT", "/uploads/*", status=503)
    ...
    assert emulator.requests[-1].status == 200
```

`python -m imgwire_async.emulator --port 8080` runs the emulator as a process. `Emulator(tls=True)` and
`--tls` serve all three hosts over https. A client with `ssl=emulator.ssl_context` trusts the certificate.
Other programs find the certificate of the CA in the file `emulator.ca_path`.

The emulator and the client share no code. So a mistake in the client is not repeated in the emulator.

The contract does not define some details of the service. For some of these details an argument of `Emulator`
selects the behaviour. For all other details the behaviour is fixed. The emulator's reference page lists them.
"""

from __future__ import annotations

from imgwire_async.emulator.configuration import ClientLimits
from imgwire_async.emulator.faults import PlannedFault
from imgwire_async.emulator.log import RequestRecord
from imgwire_async.emulator.server import Emulator

__all__ = ["ClientLimits", "Emulator", "PlannedFault", "RequestRecord"]
