"""Black-box tests: real clients over real sockets against a running `trilith serve`."""
