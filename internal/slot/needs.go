package slot

import (
	"fmt"
	"os"
	"strings"
)

// bootIDFile differs from one start of the machine to the next (random(4)).
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// BootID tells this start of the machine from others, "" if it is not known.
func BootID() string {
	data, err := os.ReadFile(bootIDFile)
	if err != nil {
		return "" // a container may hide it: then no slot counts as staged
	}
	return strings.TrimSpace(string(data))
}

// nodeUses returns what the node itself needs slot s for: it has no other images, or is
// to start with these. One is reported, the first of the two.
func (r *Root) nodeUses(s *Slot, node Node) ([]Use, error) {
	other, err := r.Read(s.Name.Other())
	if err != nil || other.Free() { // one that cannot be read has nothing to start from
		if node.EmptyNode {
			return nil, nil
		}
		return []Use{{Kind: Last, Name: fmt.Sprintf("slot %s", s.Name)}}, nil
	}
	if node.Boot == "" || node.EmptyStaged {
		return nil, nil
	}
	times, err := r.Times(s)
	if err != nil || times.Boot != node.Boot {
		return nil, err
	}
	later, err := r.Times(other)
	if err != nil || later.Filled.After(times.Filled) {
		return nil, err
	}
	return []Use{{Kind: Staged, Name: fmt.Sprintf("slot %s", s.Name)}}, nil
}

// Lasts reports whether a use does not end while the node runs: to wait for its end is
// of no use.
func (u Use) Lasts() bool { return u.Kind == Last || u.Kind == Staged }
