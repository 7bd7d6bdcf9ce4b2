"""The text of expressions and its translation to the model."""
