"""Generated messages of the public gRPC services. They stop at the edge, and in the SDK."""
