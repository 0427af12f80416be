package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
)

const (
	osRepo   = "quay.io/openshift-release-dev/os"
	osNow    = osRepo + "@" + sumA
	osNext   = osRepo + "@" + sumB
	osAnswer = "[[registry]]\nprefix = \"" + osRepo + "\"\nlocation = \"" + osRepo + "\"\n[[registry.mirror]]\nlocation = \"127.0.0.1:5055/" + osRepo + "\"\n"
)

// pinnedImages is a PinnedImageSet of a pool.
func pinnedImages(pool string, refs ...string) string {
	return fmt.Sprintf(`
apiVersion: machineconfiguration.openshift.io/v1
kind: PinnedImageSet
metadata: {name: p, labels: {machineconfiguration.openshift.io/role: %s}}
spec: {pinnedImages: [{name: '%s'}]}
---`, pool, strings.Join(refs, "'}, {name: '"))
}

// clusterAt is a cluster of one pool that has the release and the operating system osNow,
// and is wanted to have another release if wanted is not empty.
func clusterAt(version, wanted, registries string) string {
	spec := "{}"
	if wanted != "" {
		spec = "{desiredUpdate: {version: " + wanted + ", image: 'quay.io/r@" + sumB + "'}}"
	}
	mc := strings.Replace(pool("worker", ourConf, registries), "spec: {config:", "spec: {osImageURL: '"+osNow+"', config:", 1)
	return mc + fmt.Sprintf(`
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata: {name: version}
spec: %s
status: {desired: {version: %s, image: 'quay.io/r@%s'}, history: [{state: Completed, version: %s, image: 'quay.io/r@%s'}]}
---`, spec, version, sumA, version, sumA)
}

// systems holds the operating systems.
func systems(kept bool, refs ...string) *Held {
	inv := new(bundle.Inventory)
	for _, ref := range refs {
		_, d, _ := strings.Cut(ref, "@")
		inv.Images = append(inv.Images, bundle.Image{Ref: ref, Digest: digest.Digest(d), Role: bundle.RoleOS, Original: kept})
	}
	return HeldInventory("bundle test", inv)
}

// TestOSFromRegistry: a registry that has no layers is named before rpm-ostree asks it.
func TestOSFromRegistry(t *testing.T) {
	t.Parallel()
	set := pinnedImages("worker", osNext)
	for _, c := range []struct {
		name, objects string
		held          *Held
		want          []string
		text          string
	}{
		{"kept and answered", clusterAt("4.18.3", "", osAnswer), systems(true, osNow, osNext), nil, ""},
		{"kept and answered, 4.20", clusterAt("4.20.1", "", osAnswer), systems(true, osNow, osNext), nil, ""},
		{"kept, in a list", clusterAt("4.18.3", "", osAnswer), HeldList("list", listOf(osNow)), []string{"warning " + osNow}, ""},
		{"kept, and nothing asks serve", clusterAt("4.18.3", "", ""), systems(true, osNow), []string{"breaks " + osNow}, "config machineconfig --bundle"},
		{"nothing to compare with, and nothing asks serve", clusterAt("4.18.3", "", ""), nil, []string{"breaks " + osNow}, "the pool is Degraded"},
		{"nothing to compare with, answered", clusterAt("4.18.3", "", osAnswer), nil, nil, ""},
		{"only unpacked, 4.16", clusterAt("4.16.3", "", osAnswer), systems(false, osNow, osNext), []string{"breaks " + osNext, "warning " + osNow}, "without `--keep-original none`"},
		{"only unpacked, 4.18 with a set", clusterAt("4.18.3", "", osAnswer) + set, systems(false, osNext, osNow), []string{"breaks " + osNext, "warning " + osNow}, ""},
		{"only unpacked, 4.19.11 with a set", clusterAt("4.19.11", "", osAnswer) + set, systems(false, osNext, osNow), []string{"breaks " + osNext, "warning " + osNow}, ""},
		{"only unpacked, 4.20", clusterAt("4.20.1", "", osAnswer), systems(false, osNext, osNow), []string{"breaks " + osNext, "warning " + osNow}, "config pinnedimageset --os-only"},
		{"only unpacked, 4.20 with a set", clusterAt("4.20.1", "", osAnswer) + set, systems(false, osNext, osNow), []string{"warning " + osNext, "warning " + osNow}, "hangs"},
		{"only unpacked, 4.23", clusterAt("4.23.0", "", ""), systems(false, osNow, osNext), nil, ""},
		{"only unpacked, a release after the known ones", clusterAt("5.3.0", "", ""), systems(false, osNow, osNext), nil, ""},
		{"the wanted release decides: later", clusterAt("4.22.9", "4.23.0", ""), systems(false, osNow, osNext), nil, ""},
		{"the wanted release decides: earlier", clusterAt("4.19.12", "4.19.11", osAnswer) + set, systems(false, osNext, osNow), []string{"breaks " + osNext, "warning " + osNow}, "OpenShift 4.19.11"},
		{"nothing asks serve in a pool with no nodes", clusterAt("4.18.3", "", osAnswer) + withMachines(pool("master"), 0), systems(true, osNow, osNext), nil, ""},
		{"only unpacked, 4.20, without a set for a pool with no nodes", clusterAt("4.20.1", "", osAnswer) + set + withMachines(pool("master"), 0), systems(false, osNext, osNow), []string{"warning " + osNext, "warning " + osNow}, "pools without one: none"},
		{"no OpenShift", deployment("d", imgA, ""), systems(false, osNext), nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var found []string
			said := ""
			for _, f := range run(t, c.objects, c.held).Findings {
				if f.Rule == "os-image-from-registry" {
					found = append(found, string(f.Severity)+" "+f.Object)
					said += f.What + f.Why + f.Mend
				}
			}
			if !slices.Equal(found, c.want) || !strings.Contains(said, c.text) {
				t.Errorf("found %q with %q, want %q in %s", found, c.text, c.want, said)
			}
		})
	}
}

// TestMissingOS: what is missing is described by what happens.
func TestMissingOS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, objects, ref, why string }{
		{"an operating system", clusterAt("4.20.1", "", osAnswer), osNow, "the pool is Degraded"},
		{"one that only a set names", pinnedImages("worker", imgB), imgB, "pulls it into the primary store"},
		{"a pod's", deployment("d", imgB, ""), imgB, "ImagePullBackOff"},
	} {
		found := ""
		for _, f := range run(t, c.objects, heldOnly("quay.io/x/y@"+sumA[:70]+"0")).Findings {
			if f.Rule == "missing-image" && f.Object == c.ref {
				found = f.Why
			}
		}
		if !strings.Contains(found, c.why) {
			t.Errorf("%s: %q, want %q", c.name, found, c.why)
		}
		if c.name != "a pod's" && strings.Contains(found, "ImagePullBackOff") {
			t.Errorf("%s: no pod waits for it, and it says %q", c.name, found)
		}
	}
}

func heldOnly(ref string) *Held { return HeldList("list", listOf(ref)) }
