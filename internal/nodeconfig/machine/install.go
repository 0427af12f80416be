package machine

import (
	_ "embed" // the script
	"slices"
)

// InstallFile is where a node with a key has InstallScript: the script of a stick
// proves nothing about that stick.
const InstallFile = "/etc/nodeseal/install.sh"

//go:embed install.sh
var installScript []byte

// InstallScript returns the script that puts the program of a stick on a node, if the
// key of the node signed it.
func InstallScript() []byte { return slices.Clone(installScript) }
