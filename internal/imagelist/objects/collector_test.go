package objects_test

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

const fixture = "../../../testdata/cluster/objects.yaml"

// fixtureObjects reads the small cluster's objects.
func fixtureObjects(t *testing.T) []kubeobject.Object {
	t.Helper()
	f, err := os.Open(fixture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []kubeobject.Object
	if err := kubeobject.Read(f, func(o kubeobject.Object) error {
		all = append(all, o)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func collect(all []kubeobject.Object) objects.Result {
	var c objects.Collector
	for _, o := range all {
		c.Add(o)
	}
	return c.Result()
}

// find returns the entry whose repository ends in name.
func find(t *testing.T, l *imagelist.List, name string) imagelist.Entry {
	t.Helper()
	for _, e := range l.Entries() {
		ref, _ := imagelist.Split(e.Ref)
		if strings.HasSuffix(imagelist.Repository(ref), "/"+name) {
			return e
		}
	}
	t.Fatalf("%s is not in the list", name)
	return imagelist.Entry{}
}

// Every image called only-… has one origin, which the table says.
func TestOneSourceEach(t *testing.T) {
	t.Parallel()
	cluster := func(kind, namespace, object, container, name string) bundle.Origin {
		return bundle.Origin{Source: "cluster", Kind: kind, Namespace: namespace, Object: object, Container: container, Name: name}
	}
	const csv, rendered = "acme-operator.v1.2.3", "rendered-worker-"
	want := map[string]bundle.Origin{
		"only-argument":               cluster("Deployment", "acme", "idle", "op", "args"),
		"only-catalogsource":          cluster("CatalogSource", "openshift-marketplace", "acme-catalog", "", "spec.image"),
		"only-clustercatalog":         cluster("ClusterCatalog", "", "acme", "", "spec.source.image.ref"),
		"only-clusteroperator":        cluster("ClusterOperator", "", "acme", "", "annotation operators.openshift.io/must-gather-image"),
		"only-configmap":              cluster("ConfigMap", "acme", "images", "", ".data.images.json"),
		"only-cronjob":                cluster("CronJob", "acme", "nightly", "main", ""),
		"only-csv-deployment":         cluster("ClusterServiceVersion", "openshift-operators", csv, "manager", "deployment acme-operator"),
		"only-csv-must-gather":        cluster("ClusterServiceVersion", "openshift-operators", csv, "", "annotation operators.openshift.io/must-gather-image"),
		"only-csv-related":            cluster("ClusterServiceVersion", "openshift-operators", csv, "", "relatedImages agent"),
		"only-csv-variable":           cluster("ClusterServiceVersion", "openshift-operators", csv, "manager", "deployment acme-operator env RELATED_IMAGE_DB"),
		"only-custom-resource":        cluster("Widget", "acme", "w", "", ".spec.components[0].image"),
		"only-daemonset":              cluster("DaemonSet", "acme", "agent", "main", ""),
		"only-deployment":             cluster("Deployment", "acme", "idle", "main", ""),
		"only-deploymentconfig":       cluster("DeploymentConfig", "acme", "legacy", "main", ""),
		"only-dropin":                 cluster("MachineConfig", "", rendered, "", "unit backup.service 10-env.conf"),
		"only-init-container":         cluster("Pod", "acme", "web", "setup", ""),
		"only-job":                    cluster("Job", "acme", "once", "main", ""),
		"only-layered-os":             cluster("MachineOSConfig", "", "worker", "", ".status.currentImagePullSpec"),
		"only-node-annotation":        cluster("Node", "", "worker-0", "", "annotation machineconfiguration.openshift.io/currentImage"),
		"only-os-extensions":          cluster("MachineConfig", "", rendered, "", "baseOSExtensionsContainerImage"),
		"only-os-image":               cluster("MachineConfig", "", rendered, "", "osImageURL"),
		"only-pod":                    cluster("Pod", "acme", "web", "side", ""),
		"only-quadlet":                cluster("MachineConfig", "", rendered, "", "file /etc/containers/systemd/agent.container"),
		"only-related-image-variable": cluster("Deployment", "acme", "idle", "op", "env RELATED_IMAGE_HELPER"),
		"only-replicaset":             cluster("ReplicaSet", "acme", "bare", "main", ""),
		"only-replicationcontroller":  cluster("ReplicationController", "acme", "old", "main", ""),
		"only-script":                 cluster("MachineConfig", "", rendered, "", "file /usr/local/bin/nodeip.sh"),
		"only-statefulset":            cluster("StatefulSet", "acme", "db", "main", ""),
		"only-static-pod":             cluster("MachineConfig", "", rendered, "coredns", "file /etc/kubernetes/manifests/coredns.yaml"),
		"only-unimported":             cluster("ImageStream", "openshift", "support-tools", "", "tag failed"),
		"only-unit":                   cluster("MachineConfig", "", rendered, "", "unit nodeip-configuration.service"),
		"only-unit-tag":               cluster("MachineConfig", "", rendered, "", "unit backup.service"),
		"only-variable":               cluster("Deployment", "acme", "idle", "op", "env CONFIG"),
	}
	r := collect(fixtureObjects(t))
	for _, p := range r.Problems {
		t.Errorf("problem: %v", p)
	}
	found := make(map[string]bool)
	for _, e := range r.List.Entries() {
		if strings.Contains(e.Ref, "never-") || strings.Contains(e.Ref, "not-needed") {
			t.Errorf("%s should not be in the list: %v", e.Ref, e.From)
		}
		name := regexp.MustCompile(`only-[a-z-]+`).FindString(e.Ref)
		if name == "" {
			continue
		}
		found[name] = true
		if name == "only-os-image" || name == "only-os-extensions" {
			e.From = e.From[1:] // the rendered configuration of masters, too
		}
		if e.From[0].Kind == "MachineConfig" {
			e.From[0].Object = rendered
		}
		if len(e.From) != 1 || e.From[0] != want[name] {
			t.Errorf("%s: found at %+v, want %+v", name, e.From, want[name])
		}
	}
	for name := range want {
		if !found[name] {
			t.Errorf("%s was not found", name)
		}
	}
}

func TestResolved(t *testing.T) {
	t.Parallel()
	r := collect(fixtureObjects(t))
	for name, tag := range map[string]string{
		"tagged":              "quay.io/acme/tagged:v1",              // by a pod's imageID
		"cached":              "quay.io/acme/cached:v2",              // by a node's images
		"only-clustercatalog": "quay.io/acme/only-clustercatalog:v1", // by the catalog's status
	} {
		e := find(t, r.List, name)
		if e.Digest == "" || !slices.Contains(e.Names, tag) {
			t.Errorf("%s: %s has names %q, want %s", name, e.Ref, e.Names, tag)
		}
	}
	if e := find(t, r.List, "tagged"); len(e.From) != 2 {
		t.Errorf("tagged: %v, want the pod and the deployment", e.From)
	}
	if e := find(t, r.List, "library/hello-openshift"); e.Digest == "" {
		t.Error("a short name goes by the imageID")
	}
	var open []string
	for _, e := range r.List.Unresolved() {
		open = append(open, e.Ref)
	}
	if want := []string{
		"quay.io/acme/only-quadlet:v1", "quay.io/acme/only-unit-tag:v3", "registry.redhat.io/rhel8/only-unimported:latest",
	}; !slices.Equal(open, want) {
		t.Errorf("unresolved %q, want %q", open, want)
	}
}

func TestAroundTheList(t *testing.T) {
	t.Parallel()
	r := collect(fixtureObjects(t))
	if !slices.Equal(r.Architectures, []string{"amd64", "arm64"}) {
		t.Errorf("architectures %q", r.Architectures)
	}
	if e := find(t, r.List, "only-pod"); !slices.Equal(e.Platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("platforms %q", e.Platforms)
	}
	boot := find(t, r.List, "ocp-v4.0-art-dev")
	if !slices.Equal(boot.Platforms, []string{"linux/amd64"}) || boot.From[0].Name != "kubevirt amd64" {
		t.Errorf("boot image %+v", boot)
	}
	if len(r.Releases) != 2 || r.Releases[0].Version != "4.20.1" || r.Releases[1].Version != "4.20.0" {
		t.Errorf("releases %+v: want the wanted one and the last completed", r.Releases)
	}
	if len(r.Signatures) != 1 || string(r.Signatures[0].Data) != "signature of the release" ||
		!strings.HasSuffix(r.Releases[0].Image, r.Signatures[0].Digest.String()) {
		t.Errorf("signatures %+v", r.Signatures)
	}
	var mirrors []string
	for _, m := range r.Mirrors {
		mirrors = append(mirrors, m.Kind+" "+m.Source+" "+strings.Join(m.Mirrors, ","))
	}
	if want := []string{
		"Route image-registry.openshift-image-registry.svc:5000 default-route-openshift-image-registry.apps.staging.example",
		"ImageDigestMirrorSet quay.io/acme registry.staging.example:5000/acme",
		"ImageTagMirrorSet quay.io/acme registry.staging.example:5000/acme",
		"ImageContentSourcePolicy quay.io/openshift-release-dev/ocp-release registry.staging.example:5000/ocp",
	}; !slices.Equal(mirrors, want) || !r.Mirrors[1].NeverSource {
		t.Errorf("mirrors %q", mirrors)
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	all := fixtureObjects(t)
	want := collect(all)
	slices.Reverse(all)
	if got := collect(all); !reflect.DeepEqual(got, want) {
		t.Error("the same objects in another order give another result")
	}
}

// The same objects in a List, as JSON, give the same result.
func TestJSONListIsTheSame(t *testing.T) {
	t.Parallel()
	all := fixtureObjects(t)
	var text bytes.Buffer
	text.WriteString(`{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":""},"items":[`)
	for i, o := range all {
		if i > 0 {
			text.WriteByte(',')
		}
		text.Write(o.Raw)
	}
	text.WriteString("]}\n")
	var again []kubeobject.Object
	if err := kubeobject.Read(&text, func(o kubeobject.Object) error { again = append(again, o); return nil }); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(collect(again), collect(all)) {
		t.Error("JSON and YAML give different results")
	}
}

func parse(t *testing.T, text string) kubeobject.Object {
	t.Helper()
	o, err := kubeobject.Parse([]byte(text), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestProblems(t *testing.T) {
	t.Parallel()
	const a, b = "a5f1", "b00c"
	digestOf := func(s string) string { return "sha256:" + strings.Repeat(s, 16) }
	pod := func(name, image, id string) string {
		return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"` + name + `","namespace":"n"},"spec":{"containers":[{"name":"c","image":"` +
			image + `"}]},"status":{"containerStatuses":[{"name":"c","imageID":"` + id + `"}]}}`
	}
	var c objects.Collector
	c.Add(parse(t, pod("p1", "q.io/x/y:v1", "q.io/x/y@"+digestOf(a))))
	c.Add(parse(t, pod("p2", "q.io/x/y:v1", "q.io/x/y@"+digestOf(b))))
	c.Add(parse(t, pod("p3", "q.io/x/y:v1", "mirror.example/x/y@"+digestOf(b))))
	c.Add(parse(t, pod("p4", "short", "sha256:"+strings.Repeat(a, 16))))
	c.Add(parse(t, pod("p5", "Not A Reference", "")))
	c.Add(parse(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p6"},"spec":{"containers":"none"}}`))
	r := c.Result()
	l := r.List.Entries()
	if len(l) != 2 || l[0].Ref != "q.io/x/y@"+digestOf(a) || len(l[0].Names) != 0 ||
		l[1].Ref != "q.io/x/y@"+digestOf(b) || !slices.Equal(l[1].Names, []string{"q.io/x/y:v1"}) {
		t.Errorf("list %+v: want both digests, and the tag with the one that two pods run", l)
	}
	var ambiguous *objects.AmbiguousError
	var kinds [4]bool
	for _, p := range r.Problems {
		switch {
		case errors.As(p, &ambiguous):
			kinds[0] = ambiguous.Ref == "q.io/x/y:v1" && len(ambiguous.Runs) == 2
		case errors.Is(p, imagelist.ErrShortName) && p.From.Object == "p4":
			kinds[1] = true
		case errors.Is(p, kubeobject.ErrObject):
			kinds[2] = true
		case p.From.Object == "p5":
			kinds[3] = true
		}
	}
	if kinds != [4]bool{true, true, true, true} {
		t.Errorf("problems %v %v", kinds, r.Problems)
	}
}
