// Package shim hands out the Terraform provider, which its own module keeps in an internal package: only a
// module whose path begins with the same words may import that.
package shim

import (
	framework "github.com/hashicorp/terraform-plugin-framework/provider"

	"github.com/terraform-providers/terraform-provider-random/internal/provider"
)

// NewProvider returns the Terraform provider "random".
func NewProvider() framework.Provider {
	return provider.New()
}
