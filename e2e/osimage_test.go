//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// osLayers is how many layers the operating system of these tests has: real ones have 50
// to 100.
const osLayers = 80

// osAddress is where nodeseal serve answers in its network namespace.
const osAddress = "127.0.0.1:5055"

// osRelease is a release with an operating system, and its bundle.
type osRelease struct {
	bundle, ref string
	daemon      string // the image with the machine-config daemon
}

// makeOSRelease bundles a release; since is an earlier bundle, "" for none.
func makeOSRelease(t *testing.T, build, since string) *osRelease {
	t.Helper()
	release, err := samplerelease.Build(samplerelease.Options{OS: samplerelease.OS{Layers: osLayers, LayerSize: 100_000, Build: build}})
	if err != nil {
		t.Fatal(err)
	}
	addr, stop, err := release.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stop() })
	img, _ := release.Image(samplerelease.OSImage)
	payload, _ := release.Image(samplerelease.ReleaseImage)
	daemon, _ := release.Image("machine-config-operator")
	r := &osRelease{bundle: filepath.Join(t.TempDir(), build+".tar.zst"), ref: img.Ref, daemon: daemon.Ref}
	args := []string{"bundle", "-o", r.bundle, "--release", payload.Ref,
		"--registries-conf", harness.WriteFile(t, "registries.conf", samplerelease.RegistriesConf(addr))}
	if since != "" {
		args = append(args, "--since", since)
	}
	harness.MustNodeseal(t, args...)
	return r
}

// TestOSImage reads the operating system's image as rpm-ostree does, on a machine with no
// network: out of slots of both forms, also after a reseal with a bundle that holds only
// the layers that changed.
func TestOSImage(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedTool(t, "skopeo")
	first := makeOSRelease(t, "one", "")
	second := makeOSRelease(t, "two", first.bundle)
	for _, format := range []string{formatDir, formatImage} {
		t.Run(format, func(t *testing.T) {
			n := newSlotNode(t, "ext4")
			harness.MustNodeseal(t, "import", first.bundle, "--root", n.root, "--format", format, "--gc-threshold", "0")
			alone := harness.LoopbackOnly(t)
			startServeAlone(t, alone, n.root)
			t.Run("Imported", func(t *testing.T) { readOS(t, alone, first) })
			t.Run("Copied", func(t *testing.T) { copyOS(t, alone, first) })
			t.Run("Conformance", func(t *testing.T) { conform(t, alone, filepath.Join(n.root, "a"), first) })
			harness.MustNodeseal(t, "reseal", second.bundle, "--root", n.root, "--gc-threshold", "0")
			t.Run("Resealed", func(t *testing.T) {
				readOS(t, alone, second)
				readOS(t, alone, first)
			})
			t.Run("Storage", func(t *testing.T) { copyStorage(t, alone, n, second) })
			n.must(t, "retire", "a", "--storage-conf", n.conf)
			t.Run("Retired", func(t *testing.T) {
				readOS(t, alone, second)
				if _, _, err := harness.StartImageProxy(t, alone, registriesOf(t, first.bundle)).ReadImage("docker://" + first.ref); err == nil {
					t.Error("the image of the slot that was retired is still answered")
				}
			})
		})
	}
}

// startServeAlone starts nodeseal serve where only lo is up.
func startServeAlone(t *testing.T, alone []string, root string) {
	t.Helper()
	words := append(append([]string{}, alone...), harness.Binary(t), "serve", "--quiet", "--root", root, "--listen", osAddress)
	cmd := exec.Command(words[0], words[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		probe := append(append([]string{}, alone...), "sh", "-c", "exec 3<>/dev/tcp/127.0.0.1/5055")
		probe[len(alone)] = "bash"
		if exec.Command(probe[0], probe[1:]...).Run() == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("serve does not answer")
		}
	}
}

// registriesOf is the registries.conf of a node, as config prints it for a bundle.
func registriesOf(t *testing.T, bundle string) string {
	t.Helper()
	dir := t.TempDir()
	harness.MustNodeseal(t, "config", "registries", "--bundle", bundle, "-o", dir)
	return filepath.Join(dir, "etc/containers/registries.conf.d/99-zzz-nodeseal.conf")
}

// readOS reads the image as ostree's container code does.
func readOS(t *testing.T, alone []string, r *osRelease) {
	t.Helper()
	manifest, read, err := harness.StartImageProxy(t, alone, registriesOf(t, r.bundle)).ReadImage("docker://" + r.ref)
	if err != nil || len(manifest.Layers) != osLayers {
		t.Fatalf("%s: %d layers, %v", r.ref, len(manifest.Layers), err)
	}
	t.Logf("%s: manifest, configuration and %d layers, %d bytes, each with its digest", r.ref, osLayers, read)
}

// copyOS copies the image into an OCI layout.
func copyOS(t *testing.T, alone []string, r *osRelease) {
	dir := filepath.Join(t.TempDir(), "oci")
	words := append(append([]string{}, alone...), "skopeo", "--insecure-policy", "--registries-conf", registriesOf(t, r.bundle),
		"copy", "--quiet", "docker://"+r.ref, "oci:"+dir+":os")
	harness.Must(t, words[0], words[1:]...)
	var index v1.Index
	if err := json.Unmarshal(harness.ReadFile(t, dir, "index.json"), &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("%d manifests, %v", len(index.Manifests), err)
	}
	if _, want, _ := strings.Cut(r.ref, "@"); index.Manifests[0].Digest.String() != want {
		t.Errorf("the copy is %s, want %s", index.Manifests[0].Digest, want)
	}
}

// copyStorage copies the image out of containers-storage, in which it is unpacked: so the
// machine-config daemon has it read from 4.19.12 on.
func copyStorage(t *testing.T, alone []string, n *slotNode, r *osRelease) {
	dir := filepath.Join(t.TempDir(), "oci")
	words := append(append([]string{}, alone...), "env", "CONTAINERS_STORAGE_CONF="+n.conf, "skopeo", "--insecure-policy",
		"copy", "--quiet", "containers-storage:"+r.ref, "oci:"+dir+":os")
	harness.Must(t, words[0], words[1:]...)
	var index v1.Index
	if err := json.Unmarshal(harness.ReadFile(t, dir, "index.json"), &index); err != nil || len(index.Manifests) != 1 {
		t.Fatalf("%d manifests, %v", len(index.Manifests), err)
	}
}

// conform runs the read-only part of the conformance suite of the distribution
// specification over manifests, configurations and the layers that are kept.
func conform(t *testing.T, alone []string, store string, r *osRelease) {
	tool, err := filepath.Abs("../bin/tools/oci-conformance")
	if err == nil {
		_, err = os.Stat(tool)
	}
	testenv.Require(t, err == nil, "make e2e-tools has not built the conformance suite: %v", err)
	inv := inventoryOf(t, store)
	var manifests, blobs []string
	for _, img := range inv.Images {
		manifests = append(manifests, img.Digest.String())
		blobs = append(blobs, img.Config.Digest.String())
		if img.Ref == r.ref {
			for _, l := range img.Layers {
				blobs = append(blobs, l.Digest.String())
			}
		}
	}
	if img := inv.Images[osIndex(t, inv, r.ref)]; !img.Original || len(img.Layers) != osLayers {
		t.Fatalf("the store keeps %v with %d layers", img.Original, len(img.Layers))
	}
	results := t.TempDir()
	repo := strings.TrimPrefix(strings.SplitN(r.ref, "@", 2)[0], "docker://")
	words := append(append([]string{}, alone...), "env",
		"OCI_REGISTRY="+osAddress, "OCI_TLS=disabled", "OCI_REPO1="+repo, "OCI_REPO2="+repo, "OCI_RESULTS_DIR="+results,
		"OCI_API_PUSH=false", "OCI_API_BLOBS_DELETE=false", "OCI_API_MANIFESTS_DELETE=false", "OCI_API_TAGS_DELETE=false",
		"OCI_API_BLOBS_DIGEST_HEADER=true", "OCI_RO_DATA_MANIFESTS="+strings.Join(manifests, " "),
		"OCI_RO_DATA_BLOBS="+strings.Join(blobs, " "), "OCI_RO_DATA_REFERRERS="+strings.SplitN(r.ref, "@", 2)[1], tool)
	out := harness.Run(t, words[0], words[1:]...)
	// The suite's exit code says nothing, and it panics after its report where no data are its
	// own: the report is what counts.
	report := string(out.Stdout)
	for _, want := range []string{
		`FAIL\.+: +0\n`, `Error\.+: +0\n`, `Ping\.+: +Pass`, `Blob get\.+: +Pass`, `Blob head\.+: +Pass`,
		`Manifest get by digest\.+: +Pass`, `Manifest head by digest\.+: +Pass`, `Referrers\.+: +Pass`,
	} {
		if !regexp.MustCompile(want).MatchString(report) {
			t.Errorf("the conformance suite's report lacks %s", want)
		}
	}
	if passed := regexp.MustCompile(`Pass\.+: +([0-9]+)`).FindStringSubmatch(report); passed == nil {
		t.Errorf("no report\n%s%s", report, out.Stderr)
	} else if n, _ := strconv.Atoi(passed[1]); n < 2*(len(blobs)+len(manifests)) {
		t.Errorf("%d tests passed over %d blobs and %d manifests", n, len(blobs), len(manifests))
	}
	if t.Failed() {
		t.Log(report, string(out.Stderr))
	}
}

func osIndex(t *testing.T, inv *bundle.Inventory, ref string) int {
	t.Helper()
	for i := range inv.Images {
		if inv.Images[i].Ref == ref {
			return i
		}
	}
	t.Fatalf("no image %s", ref)
	return -1
}
