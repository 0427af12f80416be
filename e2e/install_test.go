//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coreos/ignition/v2/config/v3_2/types"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// asksLive are units that stand for those of an installation's live system: the same programs
// ask for the same images in the same way. oc, which no registry-less machine has, is skopeo
// that takes the layers from the mirror by its own name. %[1]s is the release image, %[2]s one of
// its payload, %[3]s the operating system's.
func asksLive() map[string]string {
	return map[string]string{
		"release-image":        `/bin/sh -c "while ! podman pull --quiet %[1]s; do sleep 1; done"`,
		"bootkube":             `/bin/sh -ec "podman create --pull=never --name render %[2]s true; test -d $(podman mount render)/usr/bin"`,
		"node-image-pull":      `/bin/sh -c "while ! skopeo --tmpdir /var/tmp copy --quiet docker://%[3]s oci:/var/tmp/os:os; do sleep 1; done"`,
		"assisted-service-pod": `/usr/bin/podman image exists %[2]s`,
		"assisted-service":     `/usr/bin/skopeo --tmpdir /var/tmp copy --quiet --src-tls-verify=false docker://127.0.0.1:5055/%[1]s oci:/var/tmp/release:release`,
	}
}

// TestInstallMedium boots a live system of an installation, with no network, by the Ignition
// configuration that config install makes: its store is on the medium, a loop device, and all
// that an installation asks for is answered out of it.
func TestInstallMedium(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"podman", "skopeo", "openssl", "runc", "conmon"} {
		testenv.NeedTool(t, tool)
	}
	release, err := samplerelease.Build(samplerelease.Options{Version: "4.20.4", OS: samplerelease.OS{Layers: 8, LayerSize: 50_000, Build: "day0"}})
	if err != nil {
		t.Fatal(err)
	}
	addr, stop, err := release.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	image := func(name string) string {
		img, ok := release.Image(name)
		if !ok {
			t.Fatalf("no image %s", name)
		}
		return img.Ref
	}
	dir := t.TempDir()
	payload, system, bundle := image(samplerelease.ReleaseImage), image(samplerelease.OSImage), filepath.Join(dir, "release.tar.zst")
	harness.MustNodeseal(t, "bundle", "-o", bundle, "--release", payload, "--keep-original", payload,
		"--work", filepath.Join(dir, "work"), "--registries-conf", harness.WriteFile(t, "registries.conf", samplerelease.RegistriesConf(addr)))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	key, pub := newKeyPair(t)
	harness.MustNodeseal(t, "sign", bundle, "--key", key)
	day0 := filepath.Join(dir, "day0")
	agent := harness.WriteFile(t, "agent.ign", `{"ignition":{"version":"3.2.0"},"systemd":{"units":[{"name":"agent.service","enabled":true,"contents":"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/podman image exists `+image("cli")+`\n"}]}}`)
	harness.MustNodeseal(t, "config", "install", "--flavor", "agent", "--ocp-version", "4.20.4", "--bundle", bundle, "--key", pub, "--into", agent, "-o", day0)

	m := newMachine(t)
	m.slotless(t)
	m.containers = filepath.Join(filepath.Dir(m.slots), "containers")
	if err := os.Mkdir(m.containers, 0o755); err != nil {
		t.Fatal(err)
	}
	harness.MustNodeseal(t, "carry", m.stick, "--bundle", bundle, "--sign-key", key)
	harness.MustNodeseal(t, "import", bundle, "--image-out", filepath.Join(m.stick, "images.erofs"), "--key", pub)
	m.medium(t)
	m.loops(t)
	m.addCRIO(t, "cgroup_manager = \"cgroupfs\"\nconmon_cgroup = \"pod\"\n")
	m.want(t, "crio.service")
	m.write(t, "etc/containers/registries.conf", "unqualified-search-registries = []\n")
	m.ignite(t, filepath.Join(day0, "ignition/merged.ign"))
	for name, command := range asksLive() {
		m.write(t, "etc/systemd/system/"+name+".service", fmt.Sprintf("[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart="+command+"\n", payload, image("etcd"), system)+"\n")
		m.want(t, name+".service")
	}
	b := m.boot(t)
	after := max(b.ended(t, "nodeseal-install.service"), b.active(t, "nodeseal-medium.service"), b.active(t, "nodeseal-serve.service"))
	readers := []string{"agent.service", "crio.service"}
	for name := range asksLive() {
		readers = append(readers, name+".service")
	}
	for _, reader := range readers {
		if at := b.active(t, reader); at < after {
			t.Errorf("%s came at %d, before the images at %d", reader, at, after)
		}
	}
	// What kubelet asks of CRI-O for a pod that is to be pulled Always.
	if err := b.node(t).pull(t.Context(), payload); err != nil {
		t.Errorf("a pull with no network: %v\n%s", err, b.said(t))
	}
	if layers := filepath.Join(m.containers, "storage/overlay-layers/layers.json"); fileExists(layers) {
		for id, l := range harness.Layers(t, filepath.Join(m.containers, "storage")) {
			if l.Parent == "" {
				t.Errorf("the memory of the live system has layer %s: it was copied", id)
			}
		}
	}
	if said := b.said(t); !strings.Contains(said, "OK: the images of OpenShift 4.20.4 are at /run/nodeseal_images") {
		t.Errorf("the console does not say so:\n%s", said)
	}
	m.otherMedia(t, b)
}

// otherMedia are media that the live system refuses, each with a reason and a way on.
func (m *machine) otherMedia(t *testing.T, b *booted) {
	t.Helper()
	for _, c := range []struct{ env, want string }{
		{"DIGEST=sha256:00", "the store of the medium is not of OpenShift 4.20.4: it does not have the release image sha256:00"},
		{"DEVICE=/dev/disk/by-label/OTHER", "there is no medium with the label OTHER"},
		{"MEMORY=999999999999", "WARNING: this machine has"},
	} {
		script := "set -a; . /run/medium.env; " + c.env + "; WAIT=0 MEDIUM=/run/other-medium STORE=/run/other-store; mkdir -p $STORE; sh /etc/nodeseal/medium.sh; code=$?; mountpoint -q $STORE && umount $STORE; umount /run/other-medium; exit $code"
		b.run(t, "sh", "-c", "systemctl show nodeseal-medium -p Environment --value | tr ' ' '\\n' > /run/medium.env")
		out := b.run(t, "sh", "-c", script)
		if !bytes.Contains(out.Stderr, []byte(c.want)) || (out.Code == 0) != strings.HasPrefix(c.want, "WARNING") {
			t.Errorf("%s: exit code %d\n%s%s", c.env, out.Code, out.Stdout, out.Stderr)
		}
	}
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// medium is plugIn for what a cluster is installed from: nothing imports it.
func (m *machine) medium(t *testing.T) {
	t.Helper()
	file := filepath.Join(filepath.Dir(m.stick), "medium.img")
	harness.Must(t, "truncate", "-s", "256M", file)
	harness.Must(t, "mkfs.ext4", "-q", "-L", "NODESEAL", "-d", m.stick, file)
	m.device = strings.TrimSpace(string(harness.Must(t, "losetup", "--find", "--show", file)))
	t.Cleanup(func() { _ = exec.Command("losetup", "--detach", m.device).Run() })
	m.write(t, "etc/tmpfiles.d/stick.conf", fmt.Sprintf("d /dev/disk/by-label 0755\nL /dev/disk/by-label/NODESEAL - - - - %s\n", m.device))
}

// ignite writes what Ignition would: the files, the units with their drop-ins, and which of them
// are enabled.
func (m *machine) ignite(t *testing.T, path string) {
	t.Helper()
	var config types.Config
	if err := json.Unmarshal(harness.ReadFile(t, path), &config); err != nil {
		t.Fatal(err)
	}
	for _, f := range config.Storage.Files {
		text, err := url.PathUnescape(strings.TrimPrefix(*f.Contents.Source, "data:,"))
		if err != nil {
			t.Fatal(err)
		}
		m.write(t, f.Path, text)
	}
	for _, u := range config.Systemd.Units {
		if u.Contents != nil {
			m.write(t, "etc/systemd/system/"+u.Name, *u.Contents)
		}
		for _, d := range u.Dropins {
			m.write(t, "etc/systemd/system/"+u.Name+".d/"+d.Name, *d.Contents)
		}
		if u.Enabled != nil && *u.Enabled {
			m.want(t, u.Name)
		}
	}
}
