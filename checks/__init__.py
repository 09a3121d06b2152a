"""Walk through a running stack as a person would: `python -m checks [--stack dev] [NAME…]`.

A check is a function from `Stack` to a short detail. It raises `CheckError` to fail and `NotApplicableError` where the
stack has nothing to check. To add one, write it in the file of its topic and enter it in `checks.__main__.CHECKS`.
"""
