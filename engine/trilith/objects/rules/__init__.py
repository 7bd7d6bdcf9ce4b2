"""What the object model's commands and queries do to records: pure functions of a View.

They run on partition leaders (commands) and replicas (queries), must not block, and know neither
keys of encryption nor chunks: bodies and manifests are sealed before they come here.
"""
