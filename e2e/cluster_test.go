//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/e2e/apiserver"
	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/samplerelease"
	"github.com/nodeseal/nodeseal/internal/store/dir"
)

// customRole is what the controllers of a real cluster would add to the role of
// docs/rbac.yaml for the custom resources that are defined here.
const customRole = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: custom-view}
rules:
- apiGroups: [example.com, machine.openshift.io, insights.openshift.io, security.internal.openshift.io, apiextensions.openshift.io, etcd.openshift.io]
  resources: ["*"]
  verbs: [get, list]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: custom-view}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: custom-view}
subjects: [{kind: ServiceAccount, name: nodeseal, namespace: nodeseal}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: base}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: nodeseal-base}
subjects: [{kind: ServiceAccount, name: nodeseal, namespace: nodeseal}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: narrow, namespace: nodeseal}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: namespaces-only}
rules: [{apiGroups: [""], resources: [namespaces], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: narrow}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: namespaces-only}
subjects: [{kind: ServiceAccount, name: narrow, namespace: nodeseal}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: narrow, namespace: acme}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: nodeseal-base}
subjects: [{kind: ServiceAccount, name: narrow, namespace: nodeseal}]
`

// staging is the small cluster with a registry that has what its objects name.
type staging struct {
	addr    string   // of the registry
	images  []string // of the release, by digest
	objects string   // a file
	conf    string   // registries.conf
	release samplerelease.Image
}

// servedSample is the sample release, and a registry that has it.
func servedSample(t *testing.T) (*samplerelease.Release, string) {
	t.Helper()
	sample, err := samplerelease.Build(samplerelease.Options{})
	if err != nil {
		t.Fatal(err)
	}
	addr := harness.Registry(t)
	if err := sample.Push(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	return sample, addr
}

// newStaging serves the sample release as the cluster's, from the mirror that
// the cluster's objects name, and puts the images that are named by tag alone there.
func newStaging(t *testing.T) staging {
	t.Helper()
	sample, addr := servedSample(t)
	for _, to := range []string{"acme/only-quadlet:v1", "acme/only-unit-tag:v3", "rhel8/only-unimported:latest"} {
		from := strings.TrimPrefix(sample.Images[0].Ref, samplerelease.Registry)
		harness.Must(t, "skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "docker://"+addr+from, "docker://"+addr+"/"+to)
	}
	s := staging{addr: addr}
	for _, img := range sample.Images {
		if strings.Contains(img.Ref, "@") {
			s.images = append(s.images, img.Ref)
		}
	}
	s.release, _ = sample.Image(samplerelease.ReleaseImage)
	text := string(harness.ReadFile(t, "..", "testdata", "cluster", "objects.yaml"))
	releases := regexp.MustCompile(`quay\.io/openshift-release-dev/ocp-release@sha256:[0-9a-f]{64}`)
	text = releases.ReplaceAllString(text, s.release.Ref)
	text = strings.ReplaceAll(text, "quay.io/openshift-release-dev/ocp-release", samplerelease.Prefix)
	text = regexp.MustCompile(`sha256-[0-9a-f]{64}-1:`).ReplaceAllString(text, bundle.SignatureKey(s.release.Manifest, 1)+":")
	text = strings.ReplaceAll(text, "registry.staging.example:5000/ocp", addr+strings.TrimPrefix(samplerelease.Prefix, samplerelease.Registry))
	text = strings.ReplaceAll(text, "registry.staging.example:5000/acme\n", addr+"/acme\n")
	s.objects = harness.WriteFile(t, "objects.yaml", text)
	s.conf = harness.WriteFile(t, "registries.conf", "[[registry]]\nlocation = \"registry.redhat.io\"\nblocked = true\n[[registry.mirror]]\nlocation = \""+addr+"\"\n")
	return s
}

// document is what list --json printed.
func document(t *testing.T, out harness.Output) imagelist.Document {
	t.Helper()
	var d imagelist.Document
	if err := json.Unmarshal(out.Stdout, &d); err != nil {
		t.Fatalf("%v\n%s%s", err, out.Stderr, out.Stdout)
	}
	return d
}

func TestCluster(t *testing.T) {
	t.Parallel()
	harness.Binary(t)
	s := newStaging(t)
	server := apiserver.Start(t)
	server.LoadOpenShift()
	server.Fill(string(harness.ReadFile(t, s.objects)))
	server.Fill(string(harness.ReadFile(t, "..", "docs", "rbac.yaml")))
	server.Fill(customRole)
	reader := server.Kubeconfig(server.Token("nodeseal", "nodeseal"))
	common := []string{"--registries-conf", s.conf, "--tls-verify=false", "--json", "--quiet"}
	list := func(args ...string) harness.Output {
		return harness.Nodeseal(t, append(append([]string{"list"}, args...), common...)...)
	}

	t.Run("every source", func(t *testing.T) {
		out := list("--cluster", "--kubeconfig", reader)
		if out.Code != 0 {
			t.Fatalf("exit code %d\n%s", out.Code, out.Stderr)
		}
		d := document(t, out)
		found := make(map[string]string)
		payload := 0
		for _, e := range d.Images {
			if e.Digest == "" || strings.Contains(e.Ref, "never-") {
				t.Errorf("%+v should not be there like this", e)
			}
			if name := regexp.MustCompile(`only-[a-z-]+`).FindString(e.Ref); name != "" {
				found[name] = e.From[0].Kind
			}
			for _, o := range e.From {
				if o.Source == "release" {
					payload++
				}
			}
		}
		for name, kind := range map[string]string{
			"only-pod": "Pod", "only-init-container": "Pod", "only-deployment": "Deployment", "only-daemonset": "DaemonSet",
			"only-statefulset": "StatefulSet", "only-replicaset": "ReplicaSet", "only-job": "Job", "only-cronjob": "CronJob",
			"only-replicationcontroller": "ReplicationController", "only-deploymentconfig": "DeploymentConfig",
			"only-configmap": "ConfigMap", "only-custom-resource": "Widget", "only-csv-related": "ClusterServiceVersion",
			"only-catalogsource": "CatalogSource", "only-clustercatalog": "ClusterCatalog", "only-clusteroperator": "ClusterOperator",
			"only-unimported": "ImageStream", "only-os-image": "MachineConfig", "only-static-pod": "MachineConfig",
			"only-quadlet": "MachineConfig", "only-unit-tag": "MachineConfig", "only-layered-os": "MachineOSConfig",
			"only-node-annotation": "Node", "only-variable": "Deployment", "only-argument": "Deployment",
		} {
			if found[name] != kind {
				t.Errorf("%s was found in %q, want %s", name, found[name], kind)
			}
		}
		if d.Release == nil || d.Release.Image != s.release.Ref || payload < 10 {
			t.Errorf("release %+v with %d images of the payload, want that of ClusterVersion", d.Release, payload)
		}
	})

	t.Run("registries", func(t *testing.T) {
		empty := filepath.Join(t.TempDir(), "store")
		if err := dir.WriteEmpty(empty); err != nil {
			t.Fatal(err)
		}
		config := func(from ...string) string {
			out := harness.Nodeseal(t, append([]string{"config", "registries", "--store", empty, "--quiet"}, from...)...)
			if out.Code != 0 {
				t.Fatalf("exit code %d\n%s", out.Code, out.Stderr)
			}
			return string(out.Stdout)
		}
		fromCluster, fromFile := config("--cluster", "--kubeconfig", reader), config("--mirrors", s.objects)
		if fromCluster != fromFile || !strings.Contains(fromCluster, `location = "127.0.0.1:5055/`) {
			t.Errorf("from the cluster:\n%s\nfrom the same objects in a file:\n%s", fromCluster, fromFile)
		}
	})
	t.Run("the same from files", func(t *testing.T) {
		live, file := list("--cluster", "--kubeconfig", reader), list("--images", s.objects)
		if file.Code != 0 {
			t.Fatalf("exit code %d\n%s", file.Code, file.Stderr)
		}
		if a, b := document(t, live), document(t, file); !reflect.DeepEqual(a, b) {
			t.Errorf("the cluster and its objects as YAML give different lists:\n%s\n%s", live.Stdout, file.Stdout)
		}
	})

	t.Run("forbidden", func(t *testing.T) {
		narrow := server.Kubeconfig(server.Token("nodeseal", "narrow"))
		out := list("--cluster", "--kubeconfig", narrow)
		if out.Code != 3 {
			t.Errorf("exit code %d, want 3", out.Code)
		}
		text := string(out.Stdout)
		if !strings.Contains(text, "only-pod@") || !strings.Contains(text, "only-cronjob@") || strings.Contains(text, "only-csv-related@") {
			t.Errorf("what one namespace has should be there, and only that:\n%s", text)
		}
		for _, want := range []string{"listing pods is forbidden in ", "listing nodes is forbidden", "listing widgets.example.com is forbidden"} {
			if !strings.Contains(string(out.Stderr), want) {
				t.Errorf("no %q in\n%s", want, out.Stderr)
			}
		}
		if out := list("--cluster", "--kubeconfig", server.Kubeconfig("no-such-token")); out.Code != 1 || !strings.Contains(string(out.Stderr), "provide credentials") {
			t.Errorf("an unknown account: exit code %d\n%s", out.Code, out.Stderr)
		}
	})

	t.Run("release signature", func(t *testing.T) { releaseSignature(t, server, reader, s) })
	t.Run("retire", func(t *testing.T) {
		retireAsks(t, s, server, reader, server.Kubeconfig(server.Token("nodeseal", "narrow")))
	})

	t.Run("audit page", func(t *testing.T) { auditPage(t, reader) })

	t.Run("large", func(t *testing.T) {
		start := time.Now()
		server.FillMany(manyObjects(t, 500, 10_000, 2_000))
		t.Logf("filled in %v", time.Since(start).Round(time.Second))
		m := measure(t, server, append([]string{"list", "--cluster", "--kubeconfig", reader}, common...)...)
		t.Logf("10,000 pods and 2,000 workloads in 500 namespaces: %v, %d MiB; %v of processor, the server %v; %d KiB of JSON",
			m.took, m.peak>>20, m.cpu, m.serverCPU, m.printed>>10)
		if m.peak>>20 > 150 {
			t.Errorf("%d MiB, want less than 150", m.peak>>20)
		}
		switch {
		case m.took <= 10*time.Second:
		case m.busy:
			t.Logf("more than 10 s, on a machine that does other things too")
		default:
			t.Errorf("%v, want less than 10 s", m.took)
		}
		diesInTheMiddle(t, server, reader, s.conf)
	})
}

// releaseSignature takes the release's signature from the cluster into a bundle,
// and out of it into another ConfigMap, which the server takes and which says the
// same.
func releaseSignature(t *testing.T, server *apiserver.Server, kubeconfig string, s staging) {
	path := filepath.Join(t.TempDir(), "release.tar.zst")
	harness.MustNodeseal(t, "bundle", "--cluster", "--kubeconfig", kubeconfig, "--include", samplerelease.Prefix+"*", "-o", path,
		"--registries-conf", s.conf, "--tls-verify=false", "--quiet")
	dir := t.TempDir()
	harness.MustNodeseal(t, "config", "all", "--pool", "master", "--ocp-version", "4.18", "--bundle", path, "-o", dir)
	text := harness.ReadFile(t, dir, "60-signatures.yaml")
	if printed := harness.MustNodeseal(t, "config", "signatures", "--bundle", path).Stdout; string(printed) != string(text) {
		t.Errorf("config all has other signatures:\n%s\n%s", text, printed)
	}
	server.Fill(string(text))
	from := func(args ...string) []imagelist.Signature {
		out := harness.Nodeseal(t, append([]string{"list", "--json", "--quiet", "--registries-conf", s.conf, "--tls-verify=false"}, args...)...)
		return document(t, out).Signatures
	}
	want := []imagelist.Signature{{Digest: s.release.Manifest, Key: bundle.SignatureKey(s.release.Manifest, 1), Data: []byte("signature of the release")}}
	for _, got := range [][]imagelist.Signature{
		from("--cluster", "--kubeconfig", kubeconfig), from("--images", harness.WriteFile(t, "signatures.yaml", string(text)), "--images", s.objects),
	} {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("signatures %+v, want %+v", got, want)
		}
	}
}

// diesInTheMiddle kills the API server while its objects are listed.
func diesInTheMiddle(t *testing.T, server *apiserver.Server, kubeconfig, conf string) {
	t.Helper()
	cmd := exec.Command(harness.Binary(t), "list", "--cluster", "--kubeconfig", kubeconfig, "--registries-conf", conf, "--progress=json")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	killed := false
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if !killed && strings.Contains(lines.Text(), "cluster") {
			server.Kill()
			killed = true
		}
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(said.String(), "the API server cannot be reached") {
		t.Errorf("exit code %d, want 1 and a clear error:\n%s", code, said.String())
	}
}

// auditPage opens the page of an audit in a browser, and compares its numbers
// with those of the JSON.
func auditPage(t *testing.T, kubeconfig string) {
	page := filepath.Join(t.TempDir(), "audit.html")
	out := harness.Nodeseal(t, "audit", "--cluster", "--kubeconfig", kubeconfig, "--html", page, "--json", "--quiet")
	if out.Code != 4 {
		t.Fatalf("exit code %d, want 4: a pod pulls always\n%s", out.Code, out.Stderr)
	}
	var report struct {
		Cluster  struct{ Nodes, Containers int }
		Findings []struct{ Severity, Object string }
	}
	if err := json.Unmarshal(out.Stdout, &report); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"count-all": len(report.Findings), "nodes": report.Cluster.Nodes, "containers": report.Cluster.Containers,
		"count-breaks": 0, "count-warning": 0, "count-note": 0}
	for _, f := range report.Findings {
		want["count-"+f.Severity]++
	}
	dom := browse(t, page)
	for id, n := range want {
		if got := numberOf(dom, id); got != n {
			t.Errorf("the page shows %d as %s, the JSON has %d", got, id, n)
		}
	}
	if cards := strings.Count(dom, "<article class="); cards != len(report.Findings) || cards == 0 {
		t.Errorf("%d cards for %d findings", cards, len(report.Findings))
	}
}
