"""How far the server grows: what its parts cost (measured), and what that means at other sizes."""
