"""What `preflight.py` looks at, a room for each thing; they read and tell, and neither write nor raise."""
