"""Downloads: attempts and retries, checks of the response, and the file or stream that its bytes become."""
