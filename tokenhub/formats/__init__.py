"""How dates are spelled where nobody chose otherwise, as in the admin."""
