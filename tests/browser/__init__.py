"""What the tests of the web page share: a small shop whose answers a person can see, and a real server with a real
browser."""
