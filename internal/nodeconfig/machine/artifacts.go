package machine

import (
	"bytes"
	"fmt"

	"github.com/BurntSushi/toml"
)

// artifactsConf returns CRI-O's drop-in with the stores of OCI artifacts. CRI-O reads what is
// in them each time, but looks for the stores only when it starts: it leaves out one that is
// sealed and has no artifacts then.
func artifactsConf(stores []string) ([]byte, error) {
	var conf struct {
		Crio struct {
			Runtime struct {
				Stores []string `toml:"additional_artifact_stores"`
			} `toml:"runtime"`
		} `toml:"crio"`
	}
	conf.Crio.Runtime.Stores = stores
	var out bytes.Buffer
	out.WriteString("# OCI artifacts of the slots. Made by nodeseal config.\n")
	enc := toml.NewEncoder(&out)
	enc.Indent = ""
	if err := enc.Encode(conf); err != nil {
		return nil, fmt.Errorf("encoding the stores of artifacts: %w", err)
	}
	return out.Bytes(), nil
}
