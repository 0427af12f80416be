package machine

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestSecurity holds the units to what systemd-analyze makes of them: ten times its
// exposure, of 100. Those that mount for the whole node cannot have a mount namespace of
// their own, nor do without CAP_SYS_ADMIN, which is most of what is left.
func TestSecurity(t *testing.T) {
	t.Parallel()
	analyze := testenv.NeedTool(t, "systemd-analyze")
	most := map[string]float64{InstallUnit: 40, SlotsUnit: 50, ImportUnit: 50, MediumUnit: 50, HostsUnit: 30, nodeconfig.ServeUnitName: 30}
	units, err := settings().Units()
	if err != nil {
		t.Fatal(err)
	}
	lives, err := live().Units()
	if err != nil {
		t.Fatal(err)
	}
	units = append(units, lives...)
	dir := t.TempDir()
	for _, u := range units {
		limit, service := most[u.Name]
		if !service {
			if strings.HasSuffix(u.Name, ".service") && u.Text != nil {
				t.Errorf("%s: no limit for it here", u.Name)
			}
			continue
		}
		path := filepath.Join(dir, u.Name)
		if err := os.WriteFile(path, u.Text, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--no-pager", "--threshold=100", path).CombinedOutput()
		if err != nil {
			t.Fatalf("systemd-analyze: %v\n%s", err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		_, level, ok := strings.Cut(lines[len(lines)-1], ": ")
		var exposure float64
		if err := json.Unmarshal([]byte(strings.Fields(level + " x")[0]), &exposure); err != nil || !ok {
			t.Fatalf("%s: %q: %v", u.Name, lines[len(lines)-1], err)
		}
		if exposure *= 10; exposure > limit {
			t.Errorf("%s: exposure %.0f of 100, want at most %.0f\n%s", u.Name, exposure, limit, out)
		}
		t.Logf("%s: exposure %.0f of 100", u.Name, exposure)
		for _, want := range []string{"MemoryMax=", "TasksMax=", "TimeoutStartSec=", "NoNewPrivileges=yes", "SystemCallFilter=", "RestrictAddressFamilies="} {
			if !strings.Contains(string(u.Text), want) {
				t.Errorf("%s has no %s", u.Name, want)
			}
		}
		// A mount namespace of its own keeps the mounts of these from the node, which is right
		// for the stick that the program is installed from.
		alone := u.Name == nodeconfig.ServeUnitName || u.Name == InstallUnit || u.Name == HostsUnit
		for _, not := range []string{"ProtectSystem=", "ProtectHome=", "PrivateTmp=", "PrivateDevices=", "PrivateMounts=", "ProtectKernel", "ProtectProc=", "MountFlags=", "ReadWritePaths="} {
			if strings.Contains(string(u.Text), not) != alone && (!alone || not == "ProtectSystem=") {
				t.Errorf("%s has %s: its mounts would not reach the node", u.Name, not)
			}
		}
	}
}
