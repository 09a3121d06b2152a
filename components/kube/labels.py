"""Labels and selectors. A selector never holds a version, or an upgrade would have to replace the workload."""


def selector(app: str, instance: str, component: str | None = None) -> dict[str, str]:
    """The labels that pick a component's pods.

    Args:
        app: the application's name (`redis`); also the value of the short label `app` that the lab's commands use.
        instance: name of the Pulumi component, so that two stacks of one kind can share a namespace.
        component: the role inside the application (`primary`), or `None` for all its pods.
    """
    role = {} if component is None else {"app.kubernetes.io/component": component}
    return {"app": app, "app.kubernetes.io/name": app, "app.kubernetes.io/instance": instance, **role}


def labels(app: str, instance: str, component: str | None = None) -> dict[str, str]:
    """The recommended labels of an object: its selector and the stack that it is part of."""
    return {
        **selector(app, instance, component),
        "app.kubernetes.io/part-of": "hotstack",
        "app.kubernetes.io/managed-by": "pulumi",
    }
