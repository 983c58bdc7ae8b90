"""Who is asking, and what they may do: accounts, API keys, signatures."""
