package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// labelled is a pool with its label, as MachineConfigPools have one for their name.
func labelled(name string) string {
	return fmt.Sprintf(`
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfigPool
metadata: {name: %s, labels: {pool: %s}}
spec: {configuration: {name: rendered-%s-1}}
---`, name, name, name)
}

// runtimeOf is a ContainerRuntimeConfig with settings, of the pools that a selector matches.
func runtimeOf(name, suffix, selector, settings string) string {
	annotations := ""
	if suffix != "none" {
		annotations = fmt.Sprintf(", annotations: {machineconfiguration.openshift.io/mc-name-suffix: %q}", suffix)
	}
	return fmt.Sprintf(`
apiVersion: machineconfiguration.openshift.io/v1
kind: ContainerRuntimeConfig
metadata: {name: %s%s}
spec: {machineConfigPoolSelector: %s, containerRuntimeConfig: %s}
---`, name, annotations, selector, settings)
}

// TestRuntimeConfigs: which storage.conf wins, and what is lost.
func TestRuntimeConfigs(t *testing.T) {
	t.Parallel()
	const worker, infra, none = "{matchLabels: {pool: worker}}", "{matchLabels: {pool: infra}}", "{}"
	ours := func(name, role string) string { return machineConfig(name, role, "", storageConf, storesAt(slotA)) }
	size, imageStore := "{overlaySize: 3G}", "{additionalImageStores: [{path: /x}]}"
	for _, c := range []struct {
		name, objects string
		want          []string
		text          string
	}{
		{"ours is last", labelled("worker") + ours("99-zzz-nodeseal-worker", "worker") + runtimeOf("c", "", worker, size), []string{"storage-conf-overwritten warning ContainerRuntimeConfig c"}, "that is 99-zzz-nodeseal-worker: the nodes keep their stores, and overlaySize has no effect"},
		{"ours is first", labelled("worker") + ours("50-stores", "worker") + runtimeOf("c", "", worker, size), []string{"storage-conf-overwritten breaks ContainerRuntimeConfig c"}, "lost their stores"},
		{"ours is last of two", labelled("worker") + ours("50-stores", "worker") + ours("99-zzz", "worker") + runtimeOf("c", "1", worker, size), []string{"storage-conf-overwritten warning ContainerRuntimeConfig c"}, ""},
		{"ours is worker's, the object is a custom pool's", labelled("worker") + labelled("infra") + ours("99-zzz", "worker") + runtimeOf("c", "", infra, size), []string{"storage-conf-overwritten breaks ContainerRuntimeConfig c"}, "Pools: infra."},
		{"the object is worker's, ours is a custom pool's", labelled("worker") + labelled("infra") + ours("01-stores", "infra") + runtimeOf("c", "", worker, size), []string{"storage-conf-overwritten warning ContainerRuntimeConfig c"}, "Pools: infra."},
		{"stores that are lost to ours", labelled("worker") + ours("99-zzz", "worker") + runtimeOf("c", "", worker, imageStore), []string{"storage-conf-overwritten warning ContainerRuntimeConfig c"}, "additionalImageStores has no effect"},
		{"another pool", labelled("worker") + labelled("master") + ours("99-zzz", "master") + runtimeOf("c", "", worker, size), nil, ""},
		{"an object that matches nothing", labelled("worker") + ours("99-zzz", "worker") + runtimeOf("c", "", none, size), nil, ""},
		{"what is no setting", labelled("worker") + ours("99-zzz", "worker") + runtimeOf("c", "", worker, `{overlaySize: "0", additionalImageStores: [], logLevel: debug, additionalArtifactStores: [{path: /x}]}`), nil, ""},
		{"the file that the MCO made of the object", labelled("worker") + machineConfig("99-worker-generated-containerruntime", "worker", "abc", storageConf, storesAt("/x")) + runtimeOf("c", "", worker, imageStore), nil, ""},

		{"stores that another object takes away", labelled("worker") + runtimeOf("a", "", worker, imageStore) + runtimeOf("b", "1", worker, size), []string{"runtime-configs-unmerged breaks MachineConfigPool worker a"}, "ContainerRuntimeConfig b are both for this pool, and additionalImageStores of the first has no effect"},
		{"stores that stay", labelled("worker") + runtimeOf("a", "1", worker, imageStore) + runtimeOf("b", "", worker, size), []string{"runtime-configs-unmerged warning MachineConfigPool worker b"}, "overlaySize of the first"},
		{"a custom pool's object after worker's", labelled("worker") + labelled("infra") + runtimeOf("a", "2", worker, imageStore) + runtimeOf("b", "", infra, size), []string{"runtime-configs-unmerged breaks MachineConfigPool infra a"}, ""},
		{"a drop-in of both", labelled("worker") + runtimeOf("a", "", worker, "{pidsLimit: 1024, logLevel: debug}") + runtimeOf("b", "1", worker, "{pidsLimit: 4096, logLevel: debug}"), []string{"runtime-configs-unmerged warning MachineConfigPool worker a"}, "pidsLimit of the first"},
		{"settings that do not meet", labelled("worker") + runtimeOf("a", "", worker, size) + runtimeOf("b", "1", worker, "{pidsLimit: 4096}"), nil, ""},
		{"the same settings", labelled("worker") + runtimeOf("a", "", worker, imageStore) + runtimeOf("b", "1", worker, imageStore), nil, ""},
		{"objects of two pools", labelled("worker") + labelled("master") + runtimeOf("a", "", worker, size) + runtimeOf("b", "", "{matchExpressions: [{key: pool, operator: In, values: [master]}]}", imageStore), nil, ""},
		{"a selector of no operator", labelled("worker") + runtimeOf("a", "", worker, size) + runtimeOf("b", "1", "{matchExpressions: [{key: pool, operator: Like}]}", imageStore), nil, ""},
		{"another shape", labelled("worker") + runtimeOf("a", "none", "[1]", size) + runtimeOf("b", "none", worker, "[1]"), nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var found []string
			said := ""
			for _, f := range run(t, c.objects, nil).Findings {
				if f.Rule == "storage-conf-overwritten" || f.Rule == "runtime-configs-unmerged" {
					found = append(found, f.Rule+" "+string(f.Severity)+" "+f.Object)
					said += fmt.Sprintf("%+v\n", f)
				}
			}
			if !slices.Equal(found, c.want) || !strings.Contains(said, c.text) {
				t.Errorf("found %q, want %q with %q in %s", found, c.want, c.text, said)
			}
		})
	}
}

// TestSnapshotOfOutside: the recorder keeps what the rules of the packages below look at.
func TestSnapshotOfOutside(t *testing.T) {
	t.Parallel()
	var found []string
	for _, f := range run(t, pool("worker", "/etc/chrony.conf", "pool 2.rhel.pool.ntp.org\n")+
		object("config.openshift.io/v1", "Infrastructure", "cluster", "status: {apiServerInternalURI: 'https://api-int.c:6443', platformStatus: {type: None}}")+
		strings.Replace(release("4.20.1"), "status:", "spec: {channel: stable-4.20}\nstatus:", 1)+
		object("v1", "ConfigMap", "other", "data: {ca-bundle.crt: x}")+
		strings.Replace(object("v1", "ConfigMap", "csr-signer-ca", "data: {ca-bundle.crt: "+fmt.Sprintf("%q", expired)+"}"), "namespace: ns", "namespace: openshift-kube-controller-manager-operator", 1)+
		`
apiVersion: v1
kind: Node
metadata: {name: node-1}
status: {conditions: [{lastHeartbeatTime: nonsense}, {lastHeartbeatTime: "2026-03-01T12:00:00Z"}, {type: Ready}]}
---`, nil).Findings {
		found = append(found, f.Rule+" "+string(f.Severity)+" "+f.Object)
		if f.Rule == "certificates-expire" && !strings.Contains(f.What, "read, 2026-03-01 12:00 UTC") {
			t.Errorf("%s", f.What)
		}
		if f.Rule == "no-time-source" && !strings.Contains(f.What, "2.rhel.pool.ntp.org") {
			t.Errorf("%s", f.What)
		}
	}
	want := []string{
		"api-name-outside warning MachineConfigPool worker",
		"certificates-expire warning ConfigMap openshift-kube-controller-manager-operator/csr-signer-ca",
		"no-time-source warning MachineConfigPool worker",
		"update-channel note ClusterVersion version",
	}
	if !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
}

// expired is a certificate that was good in January 2026.
const expired = `-----BEGIN CERTIFICATE-----
MIHrMIGToAMCAQICAQEwCgYIKoZIzj0EAwIwADAeFw0yNjAxMDEwMDAwMDBaFw0y
NjAyMDEwMDAwMDBaMAAwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATwd5ci5PGZ
wtnsom/GSSHlxsX+yxgmdiqVrOrRU5MJj3byLEMnVP2zakUZX0vmSRgYcqdIz1B3
V4/DjUErXfAgMAoGCCqGSM49BAMCA0cAMEQCIHQwG5QyRarkxhM1TnoLyw8tqASO
i0tQFC9T1VvjVVAVAiB6ec6Iz7kyJmqHuAbSFZkoyGeknh46EoHCeLAg/6G0RQ==
-----END CERTIFICATE-----
`
