package rehearse

import (
	"fmt"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/tomlbound"
)

// checkCRIO refuses a CRI-O that pulls in another control group than its own, which is not cut.
func (n *Node) checkCRIO() error {
	files, err := filepath.Glob(n.path("etc/crio/crio.conf.d", "*"))
	if err != nil {
		return fmt.Errorf("looking for files of CRI-O: %w", err)
	}
	group := ""
	for _, path := range append([]string{n.path("etc/crio/crio.conf")}, files...) {
		text, err := safefile.ReadFile(path, maxConfig)
		if err != nil {
			continue // a directory, or it is not there
		}
		var conf struct {
			Crio struct {
				Runtime struct {
					Group *string `toml:"separate_pull_cgroup"`
				} `toml:"runtime"`
			} `toml:"crio"`
		}
		if tomlbound.Unmarshal(text, &conf) == nil && conf.Crio.Runtime.Group != nil {
			group = *conf.Crio.Runtime.Group
		}
	}
	if group != "" {
		return fmt.Errorf("CRI-O pulls in a control group of its own, which is not cut (separate_pull_cgroup = %q): take it out of /etc/crio: %w", group, ErrPrecondition)
	}
	return nil
}
