"""What a chain takes on disk: chains of any length with real signatures, and the files that nodes keep of them."""
