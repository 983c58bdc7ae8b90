"""PostgreSQL for many at once: Django's backend, with connections that nobody keeps."""
