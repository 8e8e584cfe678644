"""Upload files: detect their kind, open them, create their records at the service, and send their bytes.

`upload` uploads one file, and `upload_run` uploads many files at the same time. `states` decides what follows
a failed PUT.
"""
