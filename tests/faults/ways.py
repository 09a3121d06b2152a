"""The ways to the database that clients have, as `host:port`; of several, the first that answers is taken."""

PRIMARY = "hot-postgres-rw:5432"
PGPOOL = "pgpool:9999"
READS = "hot-postgres-ro:5432,pgpool:9999"
"""As the application reads: from the standbys, and the other way while there are none."""
