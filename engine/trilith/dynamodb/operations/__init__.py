"""One function per operation: a decoded request in, the answer's JSON out."""
