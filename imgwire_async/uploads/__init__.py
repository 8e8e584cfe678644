"""Upload files: detect what a file is, open it as a source, create its record, and send its bytes.

`states` decides what follows a failed attempt. `upload_run` uploads many files at the same time.
"""
