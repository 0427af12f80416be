// Package installneeds knows what an installation of OpenShift asks a registry for, and tells what
// of it a bundle lacks.
//
// Which program asks for which image was read in the sources of openshift-install (data/data/bootstrap,
// data/data/agent), assisted-service (internal/oc/release.go), the machine-config operator (its
// bootstrap command and the units of its templates), the cluster version operator
// (bootstrap/bootstrap-pod.yaml) and oc (adm release extract).
package installneeds

import (
	"errors"
	"fmt"
	"strings"
)

// Flavor is a way to install a cluster.
type Flavor string

// The flavors.
const (
	// Agent is openshift-install's agent-based installer.
	Agent Flavor = "agent"
	// UPI is an installation on machines that people started themselves, with a bootstrap machine.
	UPI Flavor = "upi"
	// SNO is a single node that bootstraps itself (bootstrap in place).
	SNO Flavor = "sno"
)

// Flavors returns all of them. Agent is the first: it asks for all that the others ask for.
func Flavors() []string { return []string{string(Agent), string(UPI), string(SNO)} }

// ErrFlavor is wrapped by the errors of ParseFlavor.
var ErrFlavor = errors.New("not a way to install a cluster")

// ParseFlavor reads a flavor by its name.
func ParseFlavor(s string) (Flavor, error) {
	for _, f := range Flavors() {
		if f == s {
			return Flavor(s), nil
		}
	}
	return "", fmt.Errorf("%w: %q, want one of %s", ErrFlavor, s, strings.Join(Flavors(), ", "))
}
