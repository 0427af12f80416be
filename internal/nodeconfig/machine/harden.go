package machine

import "strings"

// capabilities are what the units need: to write files with their owners, modes and
// attributes, to set immutable flags, to mount, and to see in all mount namespaces which
// containers read a store.
const capabilities = "CAP_SYS_ADMIN CAP_LINUX_IMMUTABLE CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID " +
	"CAP_SETFCAP CAP_MKNOD CAP_SYS_PTRACE"

// installCapabilities are what installing needs: to mount the stick, and to write below
// /var/usrlocal whoever owns it.
const installCapabilities = "CAP_SYS_ADMIN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER"

// alone gives a unit a mount namespace of its own, in which it writes below the paths only.
func (u *unitText) alone(writable ...string) {
	for _, option := range [][2]string{
		{"ProtectSystem", "strict"},
		{"ReadWritePaths", strings.Join(writable, " ")},
		{"ProtectHome", "yes"},
		{"PrivateTmp", "yes"},
		{"PrivateNetwork", "yes"},
		{"ProtectHostname", "yes"},
		{"ProtectClock", "yes"},
		{"ProtectKernelModules", "yes"},
		{"ProtectKernelLogs", "yes"},
		{"ProtectControlGroups", "yes"},
		{"RestrictSUIDSGID", "yes"},
	} {
		u.set("Service", option[0], option[1])
	}
}

// harden takes away from a unit that mounts for the whole node what it does not need. Not
// taken: all that gives the unit a mount namespace of its own (ProtectSystem, ProtectHome,
// PrivateTmp, PrivateDevices, Protect* of the kernel's files), because its mounts would stay
// there; RestrictSUIDSGID and a device policy, because layers hold such files; system calls
// of @mount.
func (u *unitText) harden(capabilities string) {
	for _, option := range [][2]string{
		{"NoNewPrivileges", "yes"},
		{"CapabilityBoundingSet", capabilities},
		{"RestrictAddressFamilies", "none"},
		{"IPAddressDeny", "any"},
		{"RestrictNamespaces", "yes"},
		{"RestrictRealtime", "yes"},
		{"LockPersonality", "yes"},
		{"MemoryDenyWriteExecute", "yes"},
		{"SystemCallArchitectures", "native"},
		{"SystemCallFilter", "@system-service @mount"},
		{"SystemCallErrorNumber", "EPERM"},
		{"KeyringMode", "private"},
		{"OOMPolicy", "stop"},
	} {
		u.set("Service", option[0], option[1])
	}
}
