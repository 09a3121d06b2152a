// Package provider says how Pulumi's bridge presents the Terraform provider "random".
package provider

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	bridge "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"

	"github.com/terraform-providers/terraform-provider-random/shim"
)

// Name is the provider's name in Pulumi.
const Name = "random"

// Version is the release whose Python SDK this provider answers to; the linker sets it.
var Version string

// Info describes the provider with the SDK's names: random_password is random:index/randomPassword:RandomPassword.
// metadata is what the generator wrote beside the schema, and empty in the generator itself.
func Info(metadata []byte) bridge.ProviderInfo {
	info := bridge.ProviderInfo{
		P:                tfbridge.ShimProvider(shim.NewProvider()),
		Name:             Name,
		Version:          Version,
		MetadataInfo:     bridge.NewProviderMetadata(metadata),
		UpstreamRepoPath: ".", // no documentation is wanted, so none is looked for
		Resources: map[string]*bridge.ResourceInfo{
			// The only resource without an id of its own; the released provider takes the same property.
			"random_bytes": {ComputeID: bridge.DelegateIDField("base64", Name, "hotstack")},
		},
		// Both are set in the released provider too, and decide what is written to the stack's state.
		EnableAccurateBridgePreview: true,
		EnableRawStateDelta:         true,
	}
	name := func(module, name string) (string, error) {
		return tokens.MakeStandard(Name)(module, "Random"+name)
	}
	info.MustComputeTokens(tokens.SingleModule("random_", "index", name))
	info.MustApplyAutoAliases()
	return info
}
