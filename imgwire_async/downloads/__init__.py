"""Download pictures and archives: send the request, check the response, and save or stream the bytes."""
