"""A close look at a destination, step by step: what works, what does not, what that means and what to do."""
