package manifest

import (
	"path"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
)

// ReviewDir is where All puts what the MachineConfigs hold as percent-encoded URLs: the
// files and units of a node, under their paths on it, for people to read and compare.
const ReviewDir = "review"

// review returns these files. oc apply -f takes no file of a directory below, and with -R
// only those that are named as YAML or JSON: such have .txt behind their name.
func review(s machine.Settings) ([]File, error) {
	tree, err := s.Tree()
	if err != nil {
		return nil, err
	}
	files := make([]File, len(tree))
	for i, f := range tree {
		name := path.Join(ReviewDir, f.Path)
		switch path.Ext(name) {
		case ".yaml", ".yml", ".json":
			name += ".txt"
		}
		files[i] = File{Name: name, Content: f.Content}
	}
	return files, nil
}
