// Command pulumi-resource-kubernetes is Pulumi's Kubernetes provider. Its own main package embeds two files that
// only its release process makes; here the builder puts the module's own schema.json and terraform-mapping.json
// beside this file before it builds.
package main

import (
	"bytes"
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

//go:embed schema.json
var schema []byte

//go:embed terraform-mapping.json
var terraformMapping []byte

func main() {
	// The module's schema has no version, which a release's schema has to have: put it first.
	schema = bytes.Replace(schema, []byte("{"), []byte(`{"version": "`+version.Version+`",`), 1)
	provider.Serve("kubernetes", version.Version, schema, terraformMapping)
}
