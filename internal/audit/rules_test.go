package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

const (
	sumA = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	sumB = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	imgA = "quay.io/acme/a@" + sumA
	imgB = "quay.io/acme/b@" + sumB
)

func deployment(name, image, policy string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, namespace: ns}
spec: {template: {spec: {containers: [{name: c, image: %q, imagePullPolicy: %q}]}}}
---`, name, image, policy)
}

// pool is a MachineConfigPool and its rendered configuration with files, as
// path and content in turn.
func pool(name string, files ...string) string {
	return machineConfig("rendered-"+name+"-1", "", "", files...) + fmt.Sprintf(`
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfigPool
metadata: {name: %s}
spec: {configuration: {name: rendered-%s-1}}
status: {configuration: {name: rendered-%s-1}}
---`, name, name, name)
}

// withMachines is a pool that says how many nodes it has.
func withMachines(pool string, n int) string {
	return strings.Replace(pool, "status: {configuration", fmt.Sprintf("status: {machineCount: %d, configuration", n), 1)
}

const onPlatformNone = `
apiVersion: config.openshift.io/v1
kind: Infrastructure
metadata: {name: cluster}
status: {apiServerInternalURI: "https://api-int.c.example.com:6443", platformStatus: {type: None}}
---`

// singleNode is a cluster of one control plane, which has what a node needs of names and time, and the
// pool worker, which has nothing of it and no node.
func singleNode() string {
	return onPlatformNone + withMachines(pool("worker"), 0) + withMachines(pool("master",
		"/etc/dnsmasq.d/single-node.conf", "address=/api-int.c.example.com/10.0.0.5\n", "/etc/chrony.conf", "server 10.0.0.1\n"), 1)
}

func machineConfig(name, role, controller string, files ...string) string {
	var list strings.Builder
	escape := strings.NewReplacer("%", "%25", "\n", "%0A", `"`, "%22", "#", "%23")
	for i := 0; i < len(files); i += 2 {
		fmt.Fprintf(&list, "{path: %s, contents: {source: %q}},", files[i], "data:,"+escape.Replace(files[i+1]))
	}
	return fmt.Sprintf(`
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: %s
  labels: {machineconfiguration.openshift.io/role: %q}
  annotations: {machineconfiguration.openshift.io/generated-by-controller-version: %q}
spec: {config: {storage: {files: [%s]}}}
---`, name, role, controller, list.String())
}

func node(name, arch, disk string, imageBytes int) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Node
metadata: {name: %s, labels: {node-role.kubernetes.io/worker: ""}}
status: {nodeInfo: {architecture: %s}, capacity: {ephemeral-storage: %s}, images: [{names: [], sizeBytes: %d}]}
---`, name, arch, disk, imageBytes)
}

func object(apiVersion, kind, name, body string) string {
	return fmt.Sprintf("\napiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: ns}\n%s\n---", apiVersion, kind, name, body)
}

// heldA holds image a, for amd64, under its digest and the tag v1.
func heldA(size int64) *Held {
	return HeldInventory("bundle test", &bundle.Inventory{Images: []bundle.Image{{
		Ref: imgA, Names: []string{"quay.io/acme/a:v1"}, Digest: digest.Digest(sumA),
		Platform: &v1.Platform{OS: "linux", Architecture: "amd64"},
		Layers:   []bundle.Layer{{DiffID: "sha256:1", DiffSize: size}, {DiffID: "sha256:1", DiffSize: size}},
	}}})
}

const (
	mirrorSet = `
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: m}
spec: {imageDigestMirrors: [{source: quay.io/acme/a, mirrors: [registry.staging.example/a]}]}
---`
	answers1 = "[[registry]]\nprefix = \"quay.io/acme\"\nlocation = \"quay.io/acme\"\n[[registry.mirror]]\nlocation = \"127.0.0.1:5055/quay.io/acme\"\n"
	answers2 = answers1 + "[[registry]]\nprefix = \"quay.io/acme/a\"\nlocation = \"quay.io/acme/a\"\n[[registry.mirror]]\nlocation = \"127.0.0.1:5055/quay.io/acme/a\"\n"
	ourConf  = "/etc/containers/registries.conf.d/99-nodeseal.conf"
	vip      = `status: {platformStatus: {type: BareMetal, baremetal: {apiServerInternalIPs: [10.0.0.5]}}}`
	stores   = "[storage]\ndriver = \"overlay\"\nrunroot = \"/run/containers/storage\"\n[storage.options]\nadditionalimagestores = [\"%s\"]\n"
	mcoConf  = "# the MCO's\n[storage]\ndriver = \"overlay\"\nrunroot = \"%s\"\n[storage.options]\nadditionalimagestores = []\n"
	crioPins = "[crio.image]\npinned_images = [\"quay.io/acme/*\"]\n"
	slotA    = "/var/lib/shared/nodeseal/a"
)

func storesAt(path string) string { return fmt.Sprintf(stores, path) }

// Each rule finds what it is for, and nothing where all is well.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, rule, objects string
		held                *Held
		want                []string // severity and object
		text                string   // what a finding says somewhere
	}{
		{"Always", "pull-always", deployment("d", imgA, "Always"), nil, []string{"breaks Deployment ns/d container c"}, `"imagePullPolicy":"IfNotPresent"`},
		{"Always, answered", "pull-always", deployment("d", imgA, "Always") + pool("worker", ourConf, answers1), nil, []string{"note Deployment ns/d container c"}, "answering registry covers"},
		{"Always, answered by one pool only", "pull-always", deployment("d", imgA, "Always") + pool("worker", ourConf, answers1) + pool("master"), nil, []string{"breaks Deployment ns/d container c"}, ""},
		{"Always, shadowed", "pull-always", deployment("d", imgA, "Always") + pool("worker", ourConf, answers1) + mirrorSet, nil, []string{"breaks Deployment ns/d container c"}, ""},
		{"latest implies it", "pull-always", deployment("d", "quay.io/acme/a", ""), nil, []string{"breaks Deployment ns/d container c"}, "implies Always"},
		{"IfNotPresent", "pull-always", deployment("d", "quay.io/acme/a:latest", "IfNotPresent") + deployment("e", imgA, ""), nil, nil, ""},
		{"a pod of a workload", "pull-always", `
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: ns, ownerReferences: [{kind: ReplicaSet, name: d-1}]}
spec: {containers: [{name: c, image: "` + imgA + `", imagePullPolicy: Always}]}
---`, nil, nil, ""},
		{"an operator's deployment", "pull-always", strings.Replace(deployment("d", imgA, "Always"), "namespace: ns}", "namespace: ns, ownerReferences: [{kind: ClusterServiceVersion, name: op.v1}]}", 1), nil, []string{"breaks Deployment ns/d container c"}, "ClusterServiceVersion op.v1"},
		{"a CronJob", "pull-always", object("batch/v1", "CronJob", "j", `spec: {jobTemplate: {spec: {template: {spec: {initContainers: [{name: i, image: "`+imgA+`", imagePullPolicy: Always}]}}}}}`), nil, []string{"warning CronJob ns/j container i"}, `{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"initContainers":`},
		{"at zero replicas", "pull-always", strings.Replace(deployment("d", imgA, "Always"), "spec: {template", "spec: {replicas: 0, template", 1), nil, []string{"warning Deployment ns/d container c"}, ""},
		{"an image volume", "pull-always", object("v1", "Pod", "p", `spec: {containers: [], volumes: [{name: v, image: {reference: "`+imgA+`", pullPolicy: Always}}]}`), nil, []string{"breaks Pod ns/p volume v"}, ""},

		{"an image volume", "image-volume", object("v1", "Pod", "p", `spec: {containers: [], volumes: [{name: v, image: {reference: "`+imgA+`"}}, {name: w, emptyDir: {}}]}`), nil, []string{"breaks Pod ns/p volume v"}, "layer not known"},
		{"no image volume", "image-volume", deployment("d", imgA, "Always"), nil, nil, ""},
		{"Always, answered, with DNS asked", "pull-waits-for-dns", deployment("d", imgA, "Always") + pool("worker", ourConf, answers1) + release("4.21.3"), nil, []string{"note MachineConfigPool worker"}, "ten seconds"},
		{"Always, answered, /etc/hosts too", "pull-waits-for-dns", deployment("d", imgA, "Always") + pool("worker", ourConf, answers1, "/etc/nodeseal/hosts", "255.255.255.255 quay.io # nodeseal") + release("4.21.3"), nil, nil, ""},
		{"Always, answered, from CRI-O 1.35 on", "pull-waits-for-dns", deployment("d", imgA, "Always") + pool("worker", ourConf, answers1) + release("4.22.0"), nil, nil, ""},
		{"no Always", "pull-waits-for-dns", deployment("d", imgA, "IfNotPresent") + pool("worker", ourConf, answers1) + release("4.21.3"), nil, nil, ""},

		{"a tag", "by-tag", deployment("d", "quay.io/acme/a:v1", "IfNotPresent"), nil, []string{"warning Deployment ns/d container c"}, ""},
		{"a tag that is held", "by-tag", deployment("d", "quay.io/acme/a:v1", "IfNotPresent"), heldA(1), nil, ""},
		{"a tag that is not held", "by-tag", deployment("d", "quay.io/acme/a:v2", "IfNotPresent"), heldA(1), []string{"breaks Deployment ns/d container c"}, "Bundle test does not hold that name"},
		{"a digest", "by-tag", deployment("d", imgA, "IfNotPresent"), heldA(1), nil, ""},

		{"missing", "missing-image", deployment("d", imgA, "") + deployment("e", imgB, ""), heldA(1), []string{"breaks " + imgB}, "Named by Deployment ns/e c. Nodes that need it: all."},
		{"missing, of an operator", "missing-image", object("v1", "ConfigMap", "c", "data: {x: "+imgB+"}"), heldA(1), []string{"warning " + imgB}, ""},
		{"missing, of one pool", "missing-image", strings.Replace(pool("worker"), "spec: {config:", "spec: {osImageURL: "+imgB+", config:", 1), heldA(1), []string{"breaks " + imgB}, "Nodes that need it: worker."},
		{"nothing to compare with", "missing-image", deployment("e", imgB, ""), nil, nil, ""},

		{"another architecture", "missing-architecture", deployment("d", imgA, "") + node("x", "arm64", "1Gi", 0), heldA(1), []string{"warning " + imgA}, "linux/arm64"},
		{"the same architecture", "missing-architecture", deployment("d", imgA, "") + node("x", "amd64", "1Gi", 0), heldA(1), nil, ""},

		{"a catalog by tag", "catalog-by-tag", object("operators.coreos.com/v1alpha1", "CatalogSource", "c", "spec: {image: 'quay.io/c:v1'}"), nil, []string{"warning CatalogSource ns/c"}, ""},
		{"a catalog by digest", "catalog-by-tag", object("operators.coreos.com/v1alpha1", "CatalogSource", "c", "spec: {image: '"+imgA+"'}"), nil, nil, ""},
		{"default catalogs", "default-catalogs", object("config.openshift.io/v1", "OperatorHub", "cluster", "spec: {}"), nil, []string{"warning OperatorHub ns/cluster"}, `{"spec":{"disableAllDefaultSources":true}}`},
		{"disabled catalogs", "default-catalogs", object("config.openshift.io/v1", "OperatorHub", "cluster", "spec: {disableAllDefaultSources: true}"), nil, nil, ""},
		{"a catalog of OLM v1", "cluster-catalog", object("olm.operatorframework.io/v1", "ClusterCatalog", "c", "spec: {}"), nil, []string{"note ClusterCatalog ns/c"}, "oc patch clustercatalog/c"},
		{"one that is unavailable", "cluster-catalog", object("olm.operatorframework.io/v1", "ClusterCatalog", "c", "spec: {availabilityMode: Unavailable}"), nil, nil, ""},

		{"a scheduled import", "scheduled-import", object("image.openshift.io/v1", "ImageStream", "s", "spec: {tags: [{name: a}, {name: b, importPolicy: {scheduled: true}}]}"), nil, []string{"note ImageStream ns/s tag b"}, "/spec/tags/1/importPolicy/scheduled"},
		{"an import that is not held", "stream-not-held", object("image.openshift.io/v1", "ImageStream", "s", "status: {tags: [{tag: a, items: [{image: '"+sumA+"', dockerImageReference: '"+imgA+"'}]}, {tag: b, items: [{image: '"+sumB+"', dockerImageReference: '"+imgB+"'}]}]}"), heldA(1), []string{"warning ImageStream ns/s tag b"}, ""},
		{"samples", "samples-managed", object("samples.operator.openshift.io/v1", "Config", "cluster", "spec: {managementState: Managed}"), nil, []string{"warning Config ns/cluster"}, `"managementState":"Removed"`},
		{"no samples", "samples-managed", object("samples.operator.openshift.io/v1", "Config", "cluster", "spec: {managementState: Removed}"), nil, nil, ""},

		{"the plug-in, by the operator", "always-pull-images", object("operator.openshift.io/v1", "KubeAPIServer", "cluster", "spec: {unsupportedConfigOverrides: {apiServerArguments: {enable-admission-plugins: [AlwaysPullImages]}}}"), nil, []string{"breaks KubeAPIServer ns/cluster"}, ""},
		{"the plug-in, by an argument", "always-pull-images", object("v1", "Pod", "api", "spec: {containers: [{name: c, image: '"+imgA+"', command: [kube-apiserver, '--enable-admission-plugins=NodeRestriction,AlwaysPullImages']}]}"), nil, []string{"breaks Pod ns/api container c"}, ""},
		{"other plug-ins", "always-pull-images", object("operator.openshift.io/v1", "KubeAPIServer", "cluster", "spec: {observedConfig: {apiServerArguments: {enable-admission-plugins: [NodeRestriction]}}}"), nil, nil, ""},
		{"AlwaysVerify", "always-verify", object("machineconfiguration.openshift.io/v1", "KubeletConfig", "k", "spec: {kubeletConfig: {imagePullCredentialsVerificationPolicy: AlwaysVerify}}"), nil, []string{"breaks KubeletConfig ns/k"}, "NeverVerifyPreloadedImages"},
		{"AlwaysVerify, on nodes", "always-verify", pool("worker", "/etc/kubernetes/kubelet.conf", "imagePullCredentialsVerificationPolicy: AlwaysVerify\n"), nil, []string{"breaks MachineConfig rendered-worker-1"}, ""},
		{"kubelet's default", "always-verify", pool("worker", "/etc/kubernetes/kubelet.conf", "imagePullCredentialsVerificationPolicy: NeverVerifyPreloadedImages\n"), nil, nil, ""},

		{"a VIP, no name server", "no-nameserver", object("config.openshift.io/v1", "Infrastructure", "cluster", vip) + pool("worker"), nil, []string{"warning MachineConfigPool worker"}, "baremetal"},
		{"a VIP, a global name server", "no-nameserver", object("config.openshift.io/v1", "Infrastructure", "cluster", vip) + pool("worker", "/etc/NetworkManager/conf.d/dns.conf", "[global-dns-domain-*]\nservers=127.0.0.1\n"), nil, nil, ""},
		{"a VIP, nmstate's name server", "no-nameserver", object("config.openshift.io/v1", "Infrastructure", "cluster", vip) + pool("worker") + object("nmstate.io/v1", "NodeNetworkConfigurationPolicy", "dns", "spec: {desiredState: {dns-resolver: {config: {server: [10.0.0.1]}}}}"), nil, nil, ""},
		{"no VIP", "no-nameserver", object("config.openshift.io/v1", "Infrastructure", "cluster", "status: {platformStatus: {type: None}}") + pool("worker"), nil, nil, ""},

		{"a VIP, and a pool with no nodes", "no-nameserver", object("config.openshift.io/v1", "Infrastructure", "cluster", vip) + withMachines(pool("worker"), 0) + withMachines(pool("master"), 1), nil, []string{"warning MachineConfigPool master"}, ""},
		{"one node, whose pool has dnsmasq", "api-name-outside", singleNode(), nil, nil, ""},
		{"one node, whose pool has a server", "no-time-source", singleNode(), nil, nil, ""},
		{"nodes in both pools, of which one has dnsmasq", "api-name-outside", strings.Replace(singleNode(), "machineCount: 0", "machineCount: 2", 1), nil, []string{"warning MachineConfigPool worker"}, ""},
		{"pools that do not say how many nodes they have", "no-time-source", strings.Replace(singleNode(), "machineCount: 0, ", "", 1), nil, []string{"warning MachineConfigPool worker"}, ""},
		{"chrony's directory", "no-time-source", onPlatformNone + pool("worker", "/etc/chrony.conf", "confdir /etc/chrony.d\n", "/etc/chrony.d/site.conf", "server 10.0.0.1\n"), nil, nil, ""},

		{"overlaySize over our file", "storage-conf-overwritten", machineConfig("99-zzz", "worker", "", storageConf, storesAt(slotA)) + object("machineconfiguration.openshift.io/v1", "ContainerRuntimeConfig", "c", "spec: {containerRuntimeConfig: {overlaySize: 3G}}"), nil, []string{"warning ContainerRuntimeConfig ns/c"}, "overlaySize has no effect"},
		{"another setting", "storage-conf-overwritten", machineConfig("99-zzz", "worker", "", storageConf, storesAt(slotA)) + object("machineconfiguration.openshift.io/v1", "ContainerRuntimeConfig", "c", "spec: {containerRuntimeConfig: {pidsLimit: 4096}}"), nil, nil, ""},
		{"stores by the object alone", "storage-conf-overwritten", object("machineconfiguration.openshift.io/v1", "ContainerRuntimeConfig", "c", "spec: {containerRuntimeConfig: {additionalImageStores: [{path: /x}]}}"), nil, nil, ""},
		{"a frozen file", "storage-conf-frozen", machineConfig("99-zzz", "worker", "", storageConf, storesAt(slotA)) + machineConfig("01-worker-container-runtime", "worker", "abc", storageConf, fmt.Sprintf(mcoConf, "/run/elsewhere")), nil, []string{"warning MachineConfig 99-zzz"}, "storage.runroot"},
		{"a file like this release's", "storage-conf-frozen", machineConfig("99-zzz", "worker", "", storageConf, storesAt(slotA)) + machineConfig("01-worker-container-runtime", "worker", "abc", storageConf, fmt.Sprintf(mcoConf, "/run/containers/storage")), nil, nil, ""},
		{"another pool's file", "storage-conf-frozen", machineConfig("99-zzz", "worker", "", storageConf, storesAt(slotA)) + machineConfig("01-master-container-runtime", "master", "abc", storageConf, fmt.Sprintf(mcoConf, "/run/elsewhere")), nil, nil, ""},
		{"a store under the graph root", "store-under-graph-root", pool("worker", storageConf, storesAt("/var/lib/containers/storage/extra")), nil, []string{"breaks MachineConfigPool worker"}, ""},
		{"a store elsewhere", "store-under-graph-root", pool("worker", storageConf, storesAt("/var/lib/containers/storage-extra")), nil, nil, ""},

		{"a longer mirror", "mirror-shadows", pool("worker", ourConf, answers1) + mirrorSet, nil, []string{"breaks ImageDigestMirrorSet m"}, ""},
		{"a mirror with an entry", "mirror-shadows", pool("worker", ourConf, answers2) + mirrorSet, nil, nil, ""},
		{"no answering registry", "mirror-shadows", pool("worker") + mirrorSet, nil, nil, ""},
		{"a mirror", "mirror-gone", mirrorSet, nil, []string{"warning ImageDigestMirrorSet m"}, "registry.staging.example/a"},
		{"a mirror behind ours", "mirror-gone", pool("worker", ourConf, answers2) + mirrorSet, nil, []string{"note ImageDigestMirrorSet m"}, ""},

		{"pins that lose a set's image", "pins-twice", pool("worker", "/etc/crio/crio.conf.d/99-nodeseal.conf", crioPins) + pinnedImages("worker", imgA, "quay.io/other/a@"+sumA), nil, []string{"warning MachineConfigPool worker"}, "99-nodeseal.conf, leaves out 1 of them, among them quay.io/other/a@"},
		{"pins that cover the set", "pins-twice", pool("worker", "/etc/crio/crio.conf.d/99-nodeseal.conf", crioPins) + pinnedImages("worker", imgA), nil, nil, ""},
		{"pins that the set replaces", "pins-twice", pool("worker", "/etc/crio/crio.conf.d/01-nodeseal.conf", crioPins) + pinnedImages("worker", imgA), nil, []string{"warning MachineConfigPool worker"}, "sorts after 50-pinned-images"},
		{"the same pins in front of the set", "pins-twice", pool("worker", "/etc/crio/crio.conf.d/01-nodeseal.conf", strings.Replace(crioPins, "quay.io/acme/*", imgA, 1)) + pinnedImages("worker", imgA), nil, nil, ""},
		{"a set of another pool", "pins-twice", pool("master", "/etc/crio/crio.conf.d/99-nodeseal.conf", crioPins) + pinnedImages("worker", imgB, "quay.io/other/a@"+sumA), nil, nil, ""},
		{"worker's set on a custom pool", "pins-twice", pool("infra", "/etc/crio/crio.conf.d/99-nodeseal.conf", crioPins) + pinnedImages("worker", "quay.io/other/a@"+sumA), nil, []string{"warning MachineConfigPool infra"}, ""},
		{"pins once", "pins-twice", pool("worker", "/etc/crio/crio.conf.d/99-nodeseal.conf", crioPins), nil, nil, ""},

		{"a small disk", "little-disk", node("small", "amd64", "100Gi", 10<<30) + node("big", "amd64", "200Gi", 10<<30), heldA(40 << 30), []string{"breaks Node small"}, "Two slots of 40.0 GiB"},
	} {
		t.Run(c.rule+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			var found []string
			said := ""
			for _, f := range run(t, c.objects, c.held).Findings {
				if f.Rule == c.rule {
					found = append(found, string(f.Severity)+" "+f.Object)
					said += fmt.Sprintf("%+v\n", f)
					if f.What == "" || f.Why == "" || f.Mend == "" {
						t.Errorf("finding %+v leaves something open", f)
					}
				}
			}
			if !slices.Equal(found, c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
			if !strings.Contains(said, c.text) {
				t.Errorf("no %q in %s", c.text, said)
			}
		})
	}
}

func run(t *testing.T, text string, held *Held) Report {
	t.Helper()
	var r Recorder
	if err := kubeobject.Read(strings.NewReader("---\n"+text), func(o kubeobject.Object) error { r.Add(o); return nil }); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return Run(r.Snapshot(held))
}

func TestReport(t *testing.T) {
	t.Parallel()
	r := run(t, deployment("b", "quay.io/acme/a:v1", "Always")+deployment("a", imgA, "Always")+pool("worker")+node("x", "amd64", "1Gi", 0), nil)
	var order []string
	for _, f := range r.Findings {
		order = append(order, string(f.Severity)+" "+f.Object)
	}
	want := []string{"breaks Deployment ns/a container c", "breaks Deployment ns/b container c", "warning Deployment ns/b container c"}
	if !slices.Equal(order, want) {
		t.Errorf("order %q, want %q", order, want)
	}
	if !r.Breaks() || r.Count(Warning) != 1 || r.Cluster.Nodes != 1 || r.Cluster.Containers != 2 || !slices.Equal(r.Cluster.Pools, []string{"worker"}) {
		t.Errorf("report %+v", r)
	}
	if r := run(t, deployment("a", imgA, "IfNotPresent"), HeldList("list x", listOf(imgA))); r.Breaks() || r.Held != "list x" {
		t.Errorf("all is well, and it says %+v", r)
	}
}

func listOf(refs ...string) *imagelist.List {
	l := new(imagelist.List)
	for _, r := range refs {
		l.Add(r, bundle.Origin{Source: "file"})
	}
	return l
}

func TestQuantity(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{
		"": 0, "1": 1, "1Ki": 1024, "125293548Ki": 125293548 << 10, "1.5Gi": 3 << 29, "2k": 2000, "100G": 100e9, "-1": 0, "x": 0, "1e30": 0,
	} {
		if got := quantity(in); got != want {
			t.Errorf("quantity(%q) = %d, want %d", in, got, want)
		}
	}
}

// release is the ClusterVersion of a cluster that has and wants a release.
func release(version string) string {
	return `
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata: {name: version}
status: {desired: {version: ` + version + `, image: "quay.io/acme/release@` + sumB + `"}}
---`
}
