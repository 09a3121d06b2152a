"""`make bench`: every figure that needs the running dev stack."""

import sys

from bench import cluster_memory, monitoring, pgbench, preview

if __name__ == "__main__":
    sys.exit(max(preview.main(), cluster_memory.main(), monitoring.main(), pgbench.main()))
