//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/e2e/apiserver"
	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
)

// needing are objects that name an image, IMAGE, each in its own way; the words
// after # are what retire says about them.
const needing = `
# ImageStream acme/needs-stream, tag v1
apiVersion: image.openshift.io/v1
kind: ImageStream
metadata: {name: needs-stream, namespace: acme}
status: {dockerImageRepository: "", tags: [{tag: v1, items: [{created: "2026-01-01T00:00:00Z", dockerImageReference: IMAGE, image: DIGEST, generation: 1}]}]}
---
# Deployment acme/needs-deployment, container main
apiVersion: apps/v1
kind: Deployment
metadata: {name: needs-deployment, namespace: acme}
spec: {replicas: 0, selector: {matchLabels: {app: needs}}, template: {metadata: {labels: {app: needs}}, spec: {containers: [{name: main, image: IMAGE}]}}}
---
# CronJob acme/needs-cronjob, container main
apiVersion: batch/v1
kind: CronJob
metadata: {name: needs-cronjob, namespace: acme}
spec: {schedule: "0 * * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: IMAGE}]}}}}}
---
# ClusterServiceVersion acme/needs-csv, relatedImages operand
apiVersion: operators.coreos.com/v1alpha1
kind: ClusterServiceVersion
metadata: {name: needs-csv, namespace: acme}
spec: {relatedImages: [{name: operand, image: IMAGE}]}
---
# PinnedImageSet needs-pins, .spec.pinnedImages[0].name
apiVersion: machineconfiguration.openshift.io/v1
kind: PinnedImageSet
metadata: {name: needs-pins}
spec: {pinnedImages: [{name: IMAGE}]}
---
# ContainerRuntimeConfig needs-crc, .metadata.annotations.pause
apiVersion: machineconfiguration.openshift.io/v1
kind: ContainerRuntimeConfig
metadata: {name: needs-crc, annotations: {pause: IMAGE}}
spec: {containerRuntimeConfig: {logLevel: info}}
---
# MachineConfig rendered-needs, osImageURL
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata: {name: rendered-needs}
spec: {osImageURL: IMAGE, config: {ignition: {version: 3.4.0}}}
---
# MachineConfig rendered-static, container dns, file /etc/kubernetes/manifests/dns.yaml
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata: {name: rendered-static}
spec: {config: {ignition: {version: 3.4.0}, storage: {files: [{path: /etc/kubernetes/manifests/dns.yaml, contents: {source: "data:,kind%3A%20Pod%0Aspec%3A%0A%20%20containers%3A%0A%20%20-%20name%3A%20dns%0A%20%20%20%20image%3A%20IMAGE%0A"}}]}}}
`

// users are what makes the two MachineConfigs ones that nodes have.
const users = `
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfigPool
metadata: {name: needs}
spec: {configuration: {name: rendered-needs}, machineConfigSelector: {matchLabels: {a: b}}}
status: {configuration: {name: rendered-static}, conditions: []}
`

// past are objects that name IMAGE and are over.
const past = `
apiVersion: v1
kind: Pod
metadata: {name: past-pod, namespace: acme}
spec: {containers: [{name: main, image: IMAGE}]}
status: {phase: Succeeded}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: past-replicas, namespace: acme, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: d, uid: u}]}
spec: {replicas: 0, selector: {matchLabels: {app: needs}}, template: {metadata: {labels: {app: needs}}, spec: {containers: [{name: main, image: IMAGE}]}}}
---
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata: {name: rendered-past}
spec: {osImageURL: IMAGE, config: {ignition: {version: 3.4.0}}}
`

// retireAsks is retire --cluster on a node whose slots hold two releases: image
// is only in slot a.
func retireAsks(t *testing.T, s staging, server *apiserver.Server, reader, narrow string) {
	n := newSlotNode(t, "ext4")
	dir := t.TempDir()
	conf := harness.WriteFile(t, "registries.conf", samplerelease.RegistriesConf(s.addr))
	image, both := s.images[0], s.images[1]
	for i, list := range []string{image + "\n" + both + "\n", both + "\n"} {
		bundle := filepath.Join(dir, fmt.Sprintf("%d.tar.zst", i))
		harness.MustNodeseal(t, "bundle", "--images", harness.WriteFile(t, "images.lst", list), "--registries-conf", conf, "-o", bundle, "--work", filepath.Join(dir, "work"))
		n.must(t, "reseal", bundle)
	}
	_, digest, _ := strings.Cut(image, "@")
	fill := func(text string) string { return strings.NewReplacer("IMAGE", image, "DIGEST", digest).Replace(text) }
	node := []string{"--storage-conf", n.conf, "--cluster", "--kubeconfig"}
	ask := func(command, kubeconfig string) harness.Output {
		return n.nodeseal(t, append(append([]string{command}, node...), kubeconfig)...)
	}

	server.Fill(fill(past))
	if out := ask("status", reader); !strings.Contains(string(out.Stdout), "neither this node nor the cluster needs it") {
		t.Errorf("status, exit code %d:\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	server.Fill(fill(needing))
	server.Fill(users)
	refused, said := ask("retire", reader), ask("status", reader)
	if refused.Code != 5 {
		t.Errorf("retire: exit code %d\n%s", refused.Code, refused.Stderr)
	}
	for line := range strings.Lines(needing) {
		want, ok := strings.CutPrefix(strings.TrimSpace(line), "# ")
		if want += " names " + image; ok && !strings.Contains(string(refused.Stderr), want) {
			t.Errorf("retire does not say %q:\n%s", want, refused.Stderr)
		}
		if ok && !strings.Contains(oneLine(string(said.Stdout)), oneLine(want)) {
			t.Errorf("status does not say %q:\n%s", want, said.Stdout)
		}
	}
	for _, never := range []string{"past-", "rendered-past", both} {
		if strings.Contains(string(refused.Stderr), never) {
			t.Errorf("retire says %s:\n%s", never, refused.Stderr)
		}
	}

	// Who may not read everything gets no answer; so does who reaches nobody.
	for kubeconfig, want := range map[string]string{
		narrow:                             "listing configmaps is forbidden in ",
		server.Kubeconfig("no-such-token"): "provide credentials",
		filepath.Join(dir, "none"):         "no such file",
	} {
		out := ask("retire", kubeconfig)
		if out.Code != 5 || !strings.Contains(string(out.Stderr), want) || !strings.Contains(string(out.Stderr), "nothing was done") {
			t.Errorf("retire: exit code %d, want 5 and %q\n%s", out.Code, want, out.Stderr)
		}
	}
	if got := n.slots(t); got["a"] != 2 || got["b"] != 1 {
		t.Errorf("slots %v, want all that was there", got)
	}
	// It ends when the last object that needs the slot is gone.
	n.retireWaits(t, append(node, reader), 2, func() {
		err := kubeobject.Read(strings.NewReader(fill(needing)), func(o kubeobject.Object) error { return server.Delete(t.Context(), o) })
		if err != nil {
			t.Fatal(err)
		}
	})
}

// retireWaits is retire --when-safe of slot a: it waits while something needs the
// slot, which keeps its images, and ends when free has taken that away.
func (n *slotNode) retireWaits(t *testing.T, flags []string, images int, free func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), harness.Binary(t), append([]string{"retire", "a", "--when-safe", "--progress", "plain", "--root", n.root}, flags...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, waits := bufio.NewScanner(stderr), false
	for !waits && lines.Scan() {
		waits = strings.Contains(lines.Text(), "waiting: slot a is needed: ")
	}
	if !waits {
		t.Fatalf("retire --when-safe does not wait: %v", cmd.Wait())
	}
	if got := n.slots(t); got["a"] != images {
		t.Errorf("slots %v while it waits", got)
	}
	free()
	for lines.Scan() {
		continue
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("retire --when-safe: %v", err)
	}
	if got := n.slots(t); got["a"] != 0 || got["b"] == 0 {
		t.Errorf("slots %v, want only a to be empty", got)
	}
}

// oneLine is a text without what breaks it into lines of 80 columns.
func oneLine(text string) string { return strings.Join(strings.Fields(text), "") }
