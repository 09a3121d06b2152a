// Command pulumi-resource-random is Pulumi's provider of random values: the Terraform provider of that name
// behind Pulumi's bridge. The builder runs ./tfgen first, which writes the two embedded files.
package main

import (
	"context"
	_ "embed"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"

	"hotstack/toolchain/pulumi-resource-random/provider"
)

//go:embed schema.json
var schema []byte

//go:embed bridge-metadata.json
var metadata []byte

func main() {
	info := provider.Info(metadata)
	tfbridge.Main(context.Background(), provider.Name, info, tfbridge.ProviderMetadata{PackageSchema: schema})
}
