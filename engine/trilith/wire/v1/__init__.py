"""Version 1, generated from proto/trilith/wire/v1 by `make proto`."""
