// Package manifest makes the objects that a cluster is given: text out, with no
// files, clusters or clocks. What would break a cluster is refused, with the
// reason (machine.ErrSettings).
package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"

	"sigs.k8s.io/yaml"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
)

const (
	// maxObject bounds a MachineConfig: beyond it etcd and the machine config
	// server refuse, in bytes.
	maxObject = 1 << 20

	groupMachineConfig = "machineconfiguration.openshift.io"
	labelRole          = groupMachineConfig + "/role"
	labelPool          = "pools.operator.machineconfiguration.openshift.io/"
	labelNode          = "node-role.kubernetes.io/"
)

// poolPattern is a label's name part that is a name of an object too.
var poolPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$`)

// CheckPool refuses what no MachineConfigPool is called.
func CheckPool(pool string) error {
	if !poolPattern.MatchString(pool) {
		return machine.Refuse("--pool %q: want the name of a MachineConfigPool: master, worker, arbiter, or one of your own", pool)
	}
	return nil
}

// Name is the name of what is made for a pool. It sorts behind every other
// MachineConfig: the last one wins.
func Name(pool string) string { return "99-zzz-nodeseal-" + pool }

// meta is the metadata of an object.
type meta struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
}

// typeMeta says what an object is.
type typeMeta struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// encode returns the YAML of objects, one document each, without fields that are
// empty and that a server sets.
func encode(objects ...any) ([]byte, error) {
	var out bytes.Buffer
	for _, o := range objects {
		data, err := json.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("encoding an object: %w", err)
		}
		var plain map[string]any
		if err := json.Unmarshal(data, &plain); err != nil {
			return nil, fmt.Errorf("encoding an object: %w", err)
		}
		delete(plain, "status")
		prune(plain)
		text, err := yaml.Marshal(plain)
		if err != nil {
			return nil, fmt.Errorf("encoding an object: %w", err)
		}
		if out.Len() > 0 {
			out.WriteString("---\n")
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}

// prune removes nulls and empty objects, which Go's types write for what is not
// set. emptyDir is one that means something.
func prune(v any) (empty bool) {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		for key, value := range v {
			if prune(value) && key != "emptyDir" {
				delete(v, key)
			}
		}
		return len(v) == 0
	case []any:
		for _, value := range v {
			prune(value)
		}
	}
	return false
}
