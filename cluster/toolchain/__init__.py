"""The programs that the project needs and no package of the distribution or of Python holds, built from Go modules.

Each is built once for a machine, when it is first asked for, and kept in the cache outside the checkout.
"""

from cluster.toolchain.builder import ensure, module_file

__all__ = ["ensure", "module_file"]
