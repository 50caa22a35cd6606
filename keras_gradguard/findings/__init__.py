"""What is said of a run: findings, remedies, causes. NumPy only."""
