"""The service layer: every use case once, for all apps."""
