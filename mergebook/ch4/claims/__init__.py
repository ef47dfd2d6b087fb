"""What decides the claims of Chapter 4: pure functions, tables in, an `Outcome` out."""
