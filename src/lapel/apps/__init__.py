"""Floor 4, what people touch: thin rooms that parse, call and show."""
