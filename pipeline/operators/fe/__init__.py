"""Fixed linear algebra of stored finite-element spaces: nodes, transfers, norms, constraints."""
