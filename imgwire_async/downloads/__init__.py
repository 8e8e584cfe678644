"""Downloads: the attempts to get bytes, the checks of what comes, and the file or stream that the bytes become."""
