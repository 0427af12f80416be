package rehearse

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseAllow(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.0.0.7":          "10.0.0.7/32 0",
		"10.0.0.7:443":      "10.0.0.7/32 443",
		"10.1.2.3/16":       "10.1.0.0/16 0",
		"10.1.0.0/16:5000":  "10.1.0.0/16 5000",
		"fd01::1":           "fd01::1/128 0",
		"[fd01::1]:443":     "fd01::1/128 443",
		"fd01::/48":         "fd01::/48 0",
		"[fd01::/48]:443":   "fd01::/48 443",
		"[fd01::1]":         "fd01::1/128 0",
		"":                  "",
		"host":              "",
		"host:443":          "",
		"10.0.0.7:0":        "",
		"10.0.0.7:65536":    "",
		"10.0.0.7:x":        "",
		"10.0.0.7/33":       "",
		"0.0.0.0/0":         "",
		"::/0":              "",
		"0.0.0.0/0:443":     "",
		"fe80::1%eth0":      "",
		"::ffff:10.0.0.7":   "",
		"10.0.0.7 accept":   "",
		"[10.0.0.7]:443 }":  "",
		"10.0.0.7:443:5000": "",
	} {
		got, err := parseAllow(text)
		switch {
		case want == "":
			if !errors.Is(err, ErrUsage) {
				t.Errorf("%q: %v, %v", text, got, err)
			}
		case err != nil:
			t.Errorf("%q: %v", text, err)
		case strings.Join([]string{got.Address.String(), itoa(got.Port)}, " ") != want:
			t.Errorf("%q: %v, want %s", text, got, want)
		}
	}
}

func itoa(port uint16) string {
	return strings.TrimPrefix(netip.AddrPortFrom(netip.IPv4Unspecified(), port).String(), "0.0.0.0:")
}

// openshift is a node's root directory, with what a rehearsal looks at.
func openshift(t *testing.T) *Node {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"run/systemd/system/keep":          "",
		"sys/fs/cgroup/cgroup.controllers": "cpu",
		"var/lib/kubelet/kubeconfig":       "clusters:\n- name: local\n  cluster:\n    server: https://api-int.lab.example:6443\n",
		"etc/kubernetes/kubeconfig":        "clusters:\n- cluster:\n    server: https://localhost:6443\n",
		"etc/kubernetes/kubelet.conf":      "kind: KubeletConfiguration\nclusterDNS:\n- 172.30.0.10\n- fd02::a\n",
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return &Node{Root: root, Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "localhost" {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("192.0.2.5"), netip.MustParseAddr("2001:db8::5")}, nil
	}}
}

// routes is what ip prints on a node with OVN-Kubernetes.
const routes = `[{"dst":"default","gateway":"192.0.2.1","dev":"br-ex"},
{"dst":"10.128.0.0/14","gateway":"10.128.2.1","dev":"ovn-k8s-mp0"},{"dst":"10.128.2.0/23","dev":"ovn-k8s-mp0"},
{"dst":"169.254.0.1","dev":"br-ex"},{"dst":"172.30.0.0/16","gateway":"169.254.0.4","dev":"br-ex"},
{"dst":"192.0.2.0/24","dev":"br-ex"}]`

// TestPlan holds what of a node is cut, what stays reachable, and that the subnet does not.
func TestPlan(t *testing.T) {
	t.Parallel()
	n := openshift(t)
	var checked string
	n.Run = func(_ context.Context, stdin string, stdout io.Writer, words ...string) error {
		text := ""
		switch {
		case words[0] == "ip" && words[1] == "-4":
			text = routes
		case words[0] == "ip":
			text = "[]"
		case words[0] == "nft":
			checked = stdin
		case words[0] == "systemctl" && slices.Contains([]string{crio, "rpm-ostreed.service", "mine.service"}, words[2]):
			text = "Slice=system.slice\nId=" + words[2] + "\nLoadState=loaded\n"
		case words[0] == "systemctl" && words[2] == "alias.service":
			text = "Slice=system.slice\nId=mine.service\nLoadState=loaded\n"
		case words[0] == "systemctl":
			text = "LoadState=not-found\nSlice=\n"
		}
		_, err := io.WriteString(stdout, text)
		return err
	}
	p, err := n.Plan(t.Context(), Options{Minutes: 5, Allow: []string{"10.9.0.0/16"}, Units: []string{"mine.service"}, Reboot: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{crio, "mine.service", "rpm-ostreed.service"}; !slices.Equal(p.Units, want) {
		t.Errorf("units %q, want %q", p.Units, want)
	}
	var allow []string
	for _, a := range p.Allow {
		allow = append(allow, a.Address.String()+" "+itoa(a.Port))
	}
	want := []string{"10.9.0.0/16 0", "10.128.0.0/14 0", "10.128.2.0/23 0", "172.30.0.0/16 0", "172.30.0.10/32 0", "192.0.2.5/32 6443", "2001:db8::5/128 6443", "fd02::a/128 0"}
	if !slices.Equal(allow, want) {
		t.Errorf("reachable %q, want %q", allow, want)
	}
	if len(p.Notes) > 0 || p.Then != "reboot" {
		t.Errorf("notes %q, then %q", p.Notes, p.Then)
	}
	if strings.Contains(checked, "@SECONDS@") || !strings.Contains(checked, "socket cgroupv2 level 1") || !strings.HasPrefix(checked, "table inet") {
		t.Errorf("nft checks:\n%s", checked)
	}
	_, err = n.Plan(t.Context(), Options{Minutes: 5, Units: []string{"none.service"}})
	if !errors.Is(err, ErrPrecondition) || !strings.Contains(err.Error(), "none.service") {
		t.Errorf("a unit that is not there: %v", err)
	}
	_, err = n.Plan(t.Context(), Options{Minutes: 5, Units: []string{"alias.service"}})
	if !errors.Is(err, ErrPrecondition) || !strings.Contains(err.Error(), "Id=mine.service") {
		t.Errorf("another name of a unit, which has no control group: %v", err)
	}
	for _, unit := range []string{"memory.service", "io.x.service", "_a.service", "a/b.service", "a b.service", "a.timer", ""} {
		if _, err := n.Plan(t.Context(), Options{Minutes: 5, Units: []string{unit}}); !errors.Is(err, ErrUsage) {
			t.Errorf("unit %q: %v", unit, err)
		}
	}
	if err := os.Remove(filepath.Join(n.Root, "sys/fs/cgroup/cgroup.controllers")); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Plan(t.Context(), Options{Minutes: 5}); !errors.Is(err, ErrPrecondition) || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("control groups of version 1: %v", err)
	}
}
