"""What can be built, and how: one `Tool` each.

A tool's Go module is the folder of its name. It pins the tool and everything below it; a tool whose own main package
can be built as it is has nothing there but go.mod and go.sum. One module for all would not compile, since their
dependencies disagree.
"""

from dataclasses import dataclass, field

PULUMI_VERSION = "3.255.0"
PROVIDER_VERSIONS = {"kubernetes": "4.25.0", "random": "4.21.4"}
CLOUDNATIVE_PG_VERSION = "1.30.0"


@dataclass(frozen=True, kw_only=True)
class ModuleFile:
    """A file inside a Go module that the tool's go.mod requires."""

    module: str
    path: str
    executable: bool = False


@dataclass(frozen=True, kw_only=True)
class Tool:
    """How one binary is built.

    Attributes:
        name: of the binary, and of the folder with its Go module.
        minutes: a cold build on two cores, roughly.
        memory_gib: the most that a cold build took, rounded up.
        package: the main package to build; "." is one of our own.
        variables: Go variables that the linker sets, mostly the version a program tells about itself.
        embedded: files that are put beside our own main package, which embeds them.
        generate: arguments of a `go run` before the build; it writes further files to embed.
        beside: files that have to stand beside the finished binary.
        companions: other tools that the binary looks for beside itself.
        links: other names by which the finished binary is called.
    """

    name: str
    # Not in the representation, which is part of a build's key: a better estimate is no other build.
    minutes: float = field(repr=False)
    memory_gib: float = field(repr=False)
    package: str = "."
    variables: dict[str, str] = field(default_factory=dict)
    embedded: tuple[ModuleFile, ...] = ()
    generate: tuple[str, ...] = ()
    beside: tuple[ModuleFile, ...] = ()
    companions: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


_ALL = (
    Tool(
        name="kubernetes",
        minutes=7,
        memory_gib=3,
        variables={
            "k8s.io/component-base/version.gitVersion": "v1.34.4",
            "k8s.io/component-base/version.gitMajor": "1",
            "k8s.io/component-base/version.gitMinor": "34",
        },
        links=("kubectl",),
    ),
    Tool(
        name="pulumi",
        minutes=4,
        memory_gib=3,
        package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        variables={"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": f"v{PULUMI_VERSION}"},
        companions=("pulumi-language-python",),  # found on PATH too, but then every command warns of it
    ),
    Tool(
        # The newest that can be had as a module; the CLI asks no version of its language host.
        name="pulumi-language-python",
        minutes=1,
        memory_gib=2,
        package="github.com/pulumi/pulumi/sdk/python/cmd/pulumi-language-python/v3",
        variables={"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": "v3.200.0"},
        beside=(
            ModuleFile(
                module="github.com/pulumi/pulumi/sdk/v3",
                path="python/cmd/pulumi-language-python-exec",
                executable=True,
            ),
        ),
    ),
    Tool(
        name="pulumi-resource-kubernetes",
        minutes=9,
        memory_gib=5,
        variables={
            "github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version.Version": PROVIDER_VERSIONS["kubernetes"]
        },
        embedded=tuple(
            ModuleFile(
                module="github.com/pulumi/pulumi-kubernetes/provider/v4",
                path=f"cmd/pulumi-resource-kubernetes/{name}",
            )
            for name in ("schema.json", "terraform-mapping.json")
        ),
    ),
    Tool(
        name="pulumi-resource-random",
        minutes=4,
        memory_gib=3,
        variables={"hotstack/toolchain/pulumi-resource-random/provider.Version": PROVIDER_VERSIONS["random"]},
        generate=("./tfgen", "schema", "--out", "."),
    ),
    Tool(
        name="coredns",
        minutes=2,
        memory_gib=2,
        package="github.com/coredns/coredns",
    ),
    Tool(
        name="local-path-provisioner",
        minutes=2,
        memory_gib=2,
        package="github.com/rancher/local-path-provisioner",
        variables={"main.VERSION": "v0.0.30"},
    ),
    Tool(
        name="kube-router",
        minutes=2,
        memory_gib=2,
        package="github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
        variables={"github.com/cloudnativelabs/kube-router/v2/pkg/version.Version": "v2.1.0"},
    ),
    Tool(
        name="traefik",
        minutes=6,
        memory_gib=4,
        package="github.com/traefik/traefik/v3/cmd/traefik",
        variables={"github.com/traefik/traefik/v3/pkg/version.Version": "3.6.7"},
    ),
    Tool(
        # 1.30.1 needs a module that cannot be had.
        name="cloudnative-pg",
        minutes=4,
        memory_gib=3,
        package="github.com/cloudnative-pg/cloudnative-pg/cmd/manager",
    ),
    Tool(
        name="versitygw",
        minutes=1,
        memory_gib=2,
        package="github.com/versity/versitygw/cmd/versitygw",
        variables={"main.Version": "v1.8.0"},
    ),
)

TOOLS: dict[str, Tool] = {tool.name: tool for tool in _ALL}

OPERATOR_MANIFEST = ModuleFile(
    module="github.com/cloudnative-pg/cloudnative-pg", path=f"releases/cnpg-{CLOUDNATIVE_PG_VERSION}.yaml"
)
"""The objects of the operator's release, in the module of the tool `cloudnative-pg`."""
