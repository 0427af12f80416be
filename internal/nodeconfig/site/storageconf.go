package site

import (
	"fmt"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/storageconf"
)

// StorageConf returns the storage.conf from, or the one that podman and CRI-O of this
// machine read for "", with the stores among its additional ones.
func StorageConf(in Inputs, from string, stores []string) (File, error) {
	var data []byte
	var err error
	if from == "" || from == storageconf.Main {
		if from, data, err = storageconf.First(storageconf.Options{}); from == "" {
			from = storageconf.Main
		}
	} else {
		data, err = in.read(from)
	}
	if err != nil {
		return File{}, err
	}
	abs := make([]string, len(stores))
	for i, s := range stores {
		if abs[i], err = filepath.Abs(s); err != nil {
			return File{}, fmt.Errorf("store %s: %w", s, err)
		}
	}
	out, err := nodeconfig.Complete(data)
	if err == nil {
		out, err = nodeconfig.StorageConf(out, abs)
	}
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", from, err)
	}
	return File{Name: storageconf.Main, Content: string(out)}, nil
}
