package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lines is how many lines of the journal a report has.
	lines = 2000
	// leftBehind is how long a report waits for what a command that has ended started.
	leftBehind = 2 * time.Second
)

// Node is what a report is about.
type Node struct {
	// Root is the directory that its files lie below, "/" for this machine. Program is the nodeseal that says status and
	// version, Slots the directory with the slots, Units are those of nodeseal.
	Root, Program, Slots string
	Units                []string
}

// Items returns all that a report of the node takes, in the order of the archive.
func (n Node) Items() []Item {
	var items []Item
	run := func(name string, tail bool, args ...string) {
		items = append(items, Item{Name: name, What: strings.Join(args, " "), tail: tail, read: command(args, tail)})
	}
	run("status.json", false, n.Program, "status", "--json", "--quiet", "--root", n.Slots)
	if objects := n.objects(); len(objects) > 0 {
		run("audit.json", false, append([]string{n.Program, "audit", "--json", "--quiet"}, objects...)...)
	} else {
		items = append(items, n.file("etc/machine-config-daemon/currentconfig", "audit.json"))
	}
	run("versions/nodeseal.json", false, n.Program, "version", "--json")
	for _, program := range []string{"crio", "podman", "systemctl"} {
		run("versions/"+program+".txt", false, program, "--version")
	}
	for _, path := range []string{"etc/os-release", "proc/version", "proc/sys/crypto/fips_enabled", "sys/fs/selinux/enforce"} {
		items = append(items, n.file(path, "versions/"+filepath.Base(path)))
	}
	items = append(items, Item{Name: "mounts.txt", What: "/proc/self/mountinfo, lines about containers and the slots", read: n.mounts})
	for _, pattern := range []string{
		"usr/share/containers/storage.conf", "usr/share/containers/storage.conf.d/*.conf", "etc/containers/storage.conf", "etc/containers/storage.conf.d/*.conf",
		"etc/containers/storage.rootful.conf.d/*.conf", "etc/containers/registries.conf", "etc/containers/registries.conf.d/*.conf", "etc/containers/policy.json",
		"etc/containers/registries.d/*.yaml", "etc/crio/crio.conf", "etc/crio/crio.conf.d/*",
	} {
		items = append(items, n.files(pattern)...)
	}
	show := "--property=Id,LoadState,ActiveState,SubState,Result,ExecMainStatus,ExecMainStartTimestamp,ActiveEnterTimestamp,NRestarts,UnitFileState,FragmentPath,DropInPaths"
	run("units/show.txt", false, slices.Concat([]string{"systemctl", "show", "--no-pager", show, "--"}, n.Units, []string{"crio.service", "kubelet.service"})...)
	run("units/cat.txt", false, slices.Concat([]string{"systemctl", "cat", "--no-pager", "--"}, n.Units)...)
	journal := []string{"journalctl", "--no-pager", "--quiet", "--output=short-iso", "--lines=" + strconv.Itoa(lines)}
	for _, unit := range n.Units {
		journal = append(journal, "--unit="+unit)
	}
	run("journal/nodeseal.txt", true, journal...)
	run("journal/crio.txt", true, "journalctl", "--no-pager", "--quiet", "--output=short-iso", "--lines="+strconv.Itoa(lines/4), "--boot", "--unit=crio.service")
	return items
}

// objects name what lies on the node itself of the cluster, for audit: its MachineConfig and its static pods.
func (n Node) objects() (args []string) {
	for _, pattern := range []string{"etc/machine-config-daemon/currentconfig", "etc/kubernetes/manifests/*.yaml"} {
		found, _ := filepath.Glob(n.at(pattern)) // the patterns are right
		for _, path := range found {
			args = append(args, "--objects", path)
		}
	}
	return args
}

func (n Node) at(path string) string { return filepath.Join(n.Root, path) }

// files are those that a pattern names; if there are none, one that is missing.
func (n Node) files(pattern string) []Item {
	found, _ := filepath.Glob(n.at(pattern)) // the patterns are right
	if len(found) == 0 {
		return []Item{n.file(pattern, "files/"+pattern)}
	}
	items := make([]Item, 0, len(found))
	for _, path := range found {
		rel, err := filepath.Rel(n.at("/"), path)
		if err == nil {
			items = append(items, n.file(rel, "files/"+rel))
		}
	}
	return items
}

func (n Node) file(path, name string) Item {
	return Item{Name: name, What: "/" + path, read: func(context.Context) ([]byte, error) { return n.read(path) }}
}

// errCredentials is about a name that leads to what no report takes.
var errCredentials = errors.New("it leads to a file with credentials or keys, which no report takes")

// read reads the beginning of a file, which is regular, and none that has credentials, whatever name leads to it.
func (n Node) read(path string) ([]byte, error) {
	target, err := filepath.EvalSymlinks(n.at(path))
	if err != nil {
		return nil, err
	}
	if secret(target) {
		return nil, errCredentials
	}
	f, err := os.OpenFile(target, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0) // a FIFO does not block
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", path, fs.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, maxItem+1))
}

// secret reports whether a file has credentials or keys by its name.
func secret(path string) bool {
	base := strings.ToLower(filepath.Base(path))
	return slices.Contains([]string{"auth.json", "config.json", ".dockerconfigjson", ".dockercfg", "kubeconfig", "shadow", "gshadow"}, base) ||
		slices.Contains([]string{".key", ".pem", ".p12", ".pfx", ".crt", ".cert", ".pub"}, filepath.Ext(base)) || strings.Contains(path, "/certs.d/") ||
		strings.Contains(path, "/.ssh/") || strings.Contains(path, "/secrets/")
}

// mounts are the lines of mountinfo that matter.
func (n Node) mounts(context.Context) ([]byte, error) {
	data, err := os.ReadFile(n.at("proc/self/mountinfo"))
	var b bytes.Buffer
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) > 4 && (f[4] == "/" || f[4] == "/var" || f[4] == "/sysroot" || strings.HasPrefix(f[4], n.Slots) || f[4] == "/var/lib/containers" ||
			strings.HasPrefix(f[4], "/var/lib/containers/storage") && !strings.Contains(f[4], "/overlay-containers/") && !strings.HasSuffix(f[4], "/merged")) {
			b.WriteString(line)
		}
	}
	return b.Bytes(), err
}

// command runs a program, in the words of no language, and keeps the beginning or the end of what it prints: a byte more
// than a member may have, if there is more.
func command(args []string, tail bool) func(ctx context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER=")
		cmd.WaitDelay = leftBehind // for what it started and left behind
		out, said := &kept{most: maxItem + 1, tail: tail}, &kept{most: 4 << 10}
		cmd.Stdout, cmd.Stderr = out, said
		err := cmd.Run()
		if text := strings.TrimSpace(string(said.data)); err != nil && text != "" {
			if said.cut {
				text += " [cut here]"
			}
			err = fmt.Errorf("%w: %s", err, text)
		}
		return out.data, err
	}
}

// kept keeps the first bytes that were written, or the last ones.
type kept struct {
	most      int
	tail, cut bool
	data      []byte
}

func (k *kept) Write(p []byte) (int, error) {
	if !k.tail {
		room := min(k.most-len(k.data), len(p))
		k.cut = k.cut || room < len(p)
		k.data = append(k.data, p[:room]...)
		return len(p), nil
	}
	k.data = append(k.data, p...)
	if len(k.data) > 2*k.most {
		k.cut = true
		k.data = append(k.data[:0], k.data[len(k.data)-k.most:]...)
	}
	return len(p), nil
}
