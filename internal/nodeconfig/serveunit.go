package nodeconfig

import (
	"fmt"
	"io"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"
)

// ServeUnitName is the name of the unit of the answering registry.
const ServeUnitName = "nodeseal-serve.service"

// DefaultBinary is where the program is on a node: /usr is read-only, and
// /usr/local is there.
const DefaultBinary = "/var/usrlocal/bin/nodeseal"

// ServeUnit says how the answering registry runs. "" is DefaultBinary and
// DefaultRegistry; Stores must be set.
type ServeUnit struct {
	Binary  string
	Stores  []string
	Address string
}

// Text returns the unit. What pulls at boot waits for it, and goes on where it
// does not start: nothing requires it. It may read everything and write nothing.
func (u ServeUnit) Text() ([]byte, error) {
	binary, address := u.Binary, u.Address
	if binary == "" {
		binary = DefaultBinary
	}
	if address == "" {
		address = DefaultRegistry
	}
	command := []string{binary, "serve", "--listen", address}
	for _, store := range u.Stores {
		command = append(command, "--store", store)
	}
	for i, word := range command {
		command[i] = quoteWord(word)
	}
	data, err := io.ReadAll(unit.Serialize([]*unit.UnitOption{
		unit.NewUnitOption("Unit", "Description", "Answers pulls on this node from its sealed image stores"),
		unit.NewUnitOption("Unit", "ConditionFileIsExecutable", binary),
		unit.NewUnitOption("Unit", "Before", "crio.service kubelet.service machine-config-daemon-pull.service nodeip-configuration.service"),
		unit.NewUnitOption("Unit", "StartLimitIntervalSec", "0"),
		unit.NewUnitOption("Service", "Type", "notify"),
		unit.NewUnitOption("Service", "ExecStart", strings.Join(command, " ")),
		unit.NewUnitOption("Service", "Restart", "always"),
		unit.NewUnitOption("Service", "RestartSec", "2"),
		unit.NewUnitOption("Service", "TimeoutStartSec", "30"),
		// Files of layers may be readable by their owner only; nothing else is needed.
		unit.NewUnitOption("Service", "CapabilityBoundingSet", "CAP_DAC_READ_SEARCH"),
		unit.NewUnitOption("Service", "NoNewPrivileges", "yes"),
		unit.NewUnitOption("Service", "ProtectSystem", "strict"),
		unit.NewUnitOption("Service", "ProtectHome", "yes"),
		unit.NewUnitOption("Service", "PrivateTmp", "yes"),
		unit.NewUnitOption("Service", "PrivateDevices", "yes"),
		unit.NewUnitOption("Service", "RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
		unit.NewUnitOption("Service", "SystemCallFilter", "@system-service"),
		// An older systemd counts calls that it does not know among the others, as openat2: there
		// is another way without them, but none from being killed.
		unit.NewUnitOption("Service", "SystemCallErrorNumber", "EPERM"),
		unit.NewUnitOption("Service", "SystemCallArchitectures", "native"),
		unit.NewUnitOption("Service", "RestrictNamespaces", "yes"),
		unit.NewUnitOption("Service", "RestrictRealtime", "yes"),
		unit.NewUnitOption("Service", "RestrictSUIDSGID", "yes"),
		unit.NewUnitOption("Service", "LockPersonality", "yes"),
		unit.NewUnitOption("Service", "MemoryDenyWriteExecute", "yes"),
		unit.NewUnitOption("Service", "ProtectKernelTunables", "yes"),
		unit.NewUnitOption("Service", "ProtectKernelModules", "yes"),
		unit.NewUnitOption("Service", "ProtectKernelLogs", "yes"),
		unit.NewUnitOption("Service", "ProtectControlGroups", "yes"),
		unit.NewUnitOption("Service", "ProtectClock", "yes"),
		unit.NewUnitOption("Service", "ProtectHostname", "yes"),
		unit.NewUnitOption("Service", "KeyringMode", "private"),
		unit.NewUnitOption("Service", "UMask", "0077"),
		unit.NewUnitOption("Service", "MemoryMax", "256M"),
		unit.NewUnitOption("Service", "TasksMax", "256"),
		unit.NewUnitOption("Install", "WantedBy", "multi-user.target"),
	}))
	if err != nil {
		return nil, fmt.Errorf("writing unit: %w", err)
	}
	return data, nil
}

// quoteWord writes one word of a command as systemd reads it.
func quoteWord(word string) string {
	word = strings.NewReplacer("%", "%%", "$", "$$").Replace(word)
	if strings.ContainsAny(word, " \t\"'\\;") {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
	}
	return word
}
