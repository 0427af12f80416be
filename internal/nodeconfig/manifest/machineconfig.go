package manifest

import (
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/coreos/ignition/v2/config/util"
	ignition "github.com/coreos/ignition/v2/config/v3_2"
	"github.com/coreos/ignition/v2/config/v3_2/types"

	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
)

type machineConfig struct {
	typeMeta
	Metadata meta              `json:"metadata"`
	Spec     machineConfigSpec `json:"spec"`
}

type machineConfigSpec struct {
	Config types.Config `json:"config"`
}

// MachineConfig returns the MachineConfig of a pool with all that the nodes get.
func MachineConfig(pool string, s machine.Settings) ([]byte, error) {
	if err := CheckPool(pool); err != nil {
		return nil, err
	}
	config, err := ignitionConfig(s)
	if err != nil {
		return nil, err
	}
	out, err := encode(machineConfig{
		typeMeta: typeMeta{APIVersion: groupMachineConfig + "/v1", Kind: "MachineConfig"},
		Metadata: meta{Name: Name(pool), Labels: map[string]string{labelRole: pool}},
		Spec:     machineConfigSpec{Config: config},
	})
	if err != nil {
		return nil, err
	}
	if len(out) >= maxObject {
		return nil, machine.Refuse("the MachineConfig of pool %s would have %d bytes, and a cluster takes less than %d: "+
			"fewer repositories or mirrors", pool, len(out), maxObject)
	}
	return out, nil
}

func ignitionConfig(s machine.Settings) (types.Config, error) {
	files, err := s.Files()
	if err != nil {
		return types.Config{}, err
	}
	units, err := s.Units()
	if err != nil {
		return types.Config{}, err
	}
	return Ignition(files, units)
}

// Ignition returns what Ignition itself has found valid. Version 3.2 is what every release
// reads.
func Ignition(files []machine.File, units []machine.Unit) (types.Config, error) {
	config := types.Config{Ignition: types.Ignition{Version: types.MaxVersion.String()}}
	for _, f := range files {
		config.Storage.Files = append(config.Storage.Files, types.File{
			Node: types.Node{Path: f.Path, Overwrite: util.BoolToPtr(true)},
			FileEmbedded1: types.FileEmbedded1{
				Mode: util.IntToPtr(f.Mode),
				// Readable text, so that oc diff shows what changes.
				Contents: types.Resource{Source: util.StrToPtr("data:," + url.PathEscape(string(f.Content)))},
			},
		})
	}
	for _, u := range units {
		unit := types.Unit{Name: u.Name}
		if u.Text != nil {
			unit.Contents = util.StrToPtr(string(u.Text))
		}
		if u.Enabled {
			unit.Enabled = util.BoolToPtr(true)
		}
		if u.DropIn != nil {
			unit.Dropins = []types.Dropin{{Name: u.DropInName, Contents: util.StrToPtr(string(u.DropIn))}}
		}
		config.Systemd.Units = append(config.Systemd.Units, unit)
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return types.Config{}, fmt.Errorf("encoding the Ignition configuration: %w", err)
	}
	if _, report, err := ignition.Parse(raw); err != nil || len(report.Entries) > 0 {
		return types.Config{}, fmt.Errorf("ignition refuses the configuration: %w: %s", err, report.String())
	}
	return config, nil
}
