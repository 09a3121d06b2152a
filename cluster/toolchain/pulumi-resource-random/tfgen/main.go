// Command tfgen writes schema.json and bridge-metadata.json, which the provider embeds: tfgen schema --out DIR.
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfgen"

	"hotstack/toolchain/pulumi-resource-random/provider"
)

func main() {
	tfgen.Main(provider.Name, provider.Info(nil))
}
