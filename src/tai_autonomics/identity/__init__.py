"""Who is calling: keys that verify tokens, and the tokens themselves."""
