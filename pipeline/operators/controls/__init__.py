"""What needs no network: the operators that a trained one has to beat."""
