"""Generated passwords."""

import pulumi
import pulumi_random as random


def password_args(rotation: int) -> random.RandomPasswordArgs:
    """A password of 32 letters and digits, made anew when `rotation` changes.

    No special characters: the value must survive configuration files and connection URLs unquoted. Every class is
    explicit because a provider's changed default would otherwise replace the password of a live stack.
    """
    return random.RandomPasswordArgs(
        length=32,
        lower=True,
        upper=True,
        numeric=True,
        special=False,
        min_lower=1,
        min_upper=1,
        min_numeric=1,
        min_special=0,
        keepers={"rotation": str(rotation)},
    )


def generated_password(name: str, rotation: int, opts: pulumi.ResourceOptions) -> random.RandomPassword:
    """The password resource `name`; see `password_args`."""
    return random.RandomPassword(name, password_args(rotation), opts=opts)
