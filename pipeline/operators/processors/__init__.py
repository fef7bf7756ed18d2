"""What is learnt: networks from values at places to values at places."""
