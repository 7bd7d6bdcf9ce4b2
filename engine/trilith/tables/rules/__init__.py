"""What commands do to the records of tables, and what queries read; one subject a module."""
