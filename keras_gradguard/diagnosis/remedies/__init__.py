"""What rules advise: titles, reasons, code, and the edit that does it."""
