package outside

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/audit/rule"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

const (
	digest = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	own    = "image-registry.openshift-image-registry.svc:5000/ns/s" + digest

	ownLong = "image-registry.openshift-image-registry.svc.cluster.local:5000/ns/s" + digest
)

// object is one object as YAML; meta is added to its metadata.
func object(apiVersion, kind, name, meta, body string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s%s}\n%s\n---\n", apiVersion, kind, name, meta, body)
}

func updateServiceOf(image string) string {
	return object("updateservice.operator.openshift.io/v1", "UpdateService", "u", ", namespace: ns",
		"spec: {releases: quay.io/x/release, graphDataImage: '"+image+"'}\nstatus: {policyEngineURI: 'https://u.apps.example.com'}")
}

func clusterVersion(spec string) string {
	return object("config.openshift.io/v1", "ClusterVersion", "version", "", "spec: "+spec)
}

func subscriptionOf(name, approval string) string {
	return object("operators.coreos.com/v1alpha1", "Subscription", name, ", namespace: ns",
		"spec: {name: pkg, source: cat, sourceNamespace: market, installPlanApproval: "+approval+"}")
}

func catalog(spec string) string {
	return object("operators.coreos.com/v1alpha1", "CatalogSource", "cat", ", namespace: market", "spec: "+spec)
}

func build(spec string) string {
	return object("build.openshift.io/v1", "BuildConfig", "b", ", namespace: ns", "spec: "+spec)
}

// stream is an image stream whose tag v1 has the items.
func stream(namespace, labels, items string) string {
	return object("image.openshift.io/v1", "ImageStream", "s", ", namespace: "+namespace+labels, "status: {tags: [{tag: v1, items: ["+items+"]}]}")
}

func item(ref string) string { return "{image: x, dockerImageReference: '" + ref + "'}" }

func samplesConfig(state string) string {
	return object("samples.operator.openshift.io/v1", "Config", "cluster", "", "spec: {managementState: "+state+"}")
}

func imageConfig(hostname string) string {
	return object("config.openshift.io/v1", "Image", "cluster", "", "status: {internalRegistryHostname: '"+hostname+"'}")
}

func internal(conditions string) string {
	return object("machineconfiguration.openshift.io/v1", "InternalReleaseImage", "cluster", "",
		"status: {releases: [{name: ocp-release-bundle-4.22.1-x86_64, conditions: ["+conditions+"]}]}")
}

const sample = ", labels: {samples.operator.openshift.io/managed: 'true'}"

// Each rule finds what it is for, and nothing where all is well.
func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, objects string
		want          []string // rule, severity and object
		text          string   // what a finding says somewhere
	}{
		{"graph data by tag", updateServiceOf("quay.io/x/graph-data:latest"), []string{"graph-data-by-tag warning UpdateService ns/u"}, "quay.io/x/graph-data:latest"},
		{"graph data by digest", updateServiceOf("quay.io/x/graph-data" + digest), nil, ""},
		{"graph data of another shape", object("updateservice.operator.openshift.io/v1", "UpdateService", "u", "", "spec: [1]"), nil, ""},
		{"another group's UpdateService", object("example.com/v1", "UpdateService", "u", "", "spec: {graphDataImage: 'quay.io/x/y:z'}"), nil, ""},

		{"a channel", clusterVersion("{channel: stable-4.20}"), []string{"update-channel note ClusterVersion version"}, `oc patch clusterversion/version --type=merge -p '{"spec":{"channel":""}}'`},
		{"a channel and an upstream", clusterVersion("{channel: stable-4.20, upstream: 'https://osus.example.com/graph'}"), []string{"update-channel note ClusterVersion version"}, "asks https://osus.example.com/graph"},
		{"an upstream of this cluster", updateServiceOf("q.io/g"+digest) + clusterVersion("{channel: stable-4.20, upstream: 'https://u.apps.example.com/api/upgrades_info/v1/graph'}"), nil, ""},
		{"an upstream that is no URL", updateServiceOf("q.io/g"+digest) + clusterVersion("{channel: c, upstream: '%zz'}"), []string{"update-channel note ClusterVersion version"}, ""},
		{"no channel", clusterVersion("{upstream: 'https://osus.example.com/graph'}"), nil, ""},
		{"a ClusterVersion of another shape", clusterVersion("{channel: [1]}"), nil, ""},

		{"an operator of a catalog by tag", subscriptionOf("op", "Automatic") + catalog("{image: 'quay.io/c:v1'}"), []string{"automatic-approval warning Subscription ns/op"}, "oc -n ns patch subscription.operators.coreos.com/op"},
		{"approval that is not set", subscriptionOf("op", `""`) + catalog("{image: 'quay.io/c:v1'}"), []string{"automatic-approval warning Subscription ns/op"}, ""},
		{"a catalog at an address", subscriptionOf("op", "Automatic") + catalog("{address: 'x:50051'}"), []string{"automatic-approval warning Subscription ns/op"}, ""},
		{"a catalog by digest", subscriptionOf("op", "Automatic") + catalog("{image: 'quay.io/c"+digest+"'}"), nil, ""},
		{"a catalog that is not there", subscriptionOf("op", "Automatic") + object("config.openshift.io/v1", "OperatorHub", "cluster", "", "spec: {}"), nil, ""},
		{"a catalog that was not read", subscriptionOf("op", "Automatic"), []string{"automatic-approval note Subscription ns/op"}, "not among the objects"},
		{"approval by a person", subscriptionOf("op", "Manual") + catalog("{image: 'quay.io/c:v1'}"), nil, ""},
		{"approval by a person of one in the namespace", subscriptionOf("op", "Automatic") + subscriptionOf("other", "Manual") + catalog("{image: 'quay.io/c:v1'}"), nil, ""},
		{"a subscription of another shape", object("operators.coreos.com/v1alpha1", "Subscription", "op", "", "spec: 1"), nil, ""},
		{"another group's subscription", object("apps.open-cluster-management.io/v1", "Subscription", "op", "", "spec: {}"), nil, ""},

		{"a build from a tag", build("{strategy: {dockerStrategy: {from: {kind: DockerImage, name: 'quay.io/x/base:1'}}}}"), []string{"build-from-registry warning BuildConfig ns/b"}, "quay.io/x/base:1"},
		{"a build that copies from an image", build("{strategy: {dockerStrategy: {}}, source: {images: [{from: {kind: DockerImage, name: 'quay.io/x/tools:1'}}]}}"), []string{"build-from-registry warning BuildConfig ns/b"}, "quay.io/x/tools:1"},
		{"a build from a stream outside", build("{strategy: {sourceStrategy: {from: {kind: ImageStreamTag, name: 's:v1', namespace: openshift}}}}") + stream("openshift", "", item("quay.io/x/y"+digest)), []string{"build-from-registry warning BuildConfig ns/b"}, "quay.io/x/y@"},
		{"a build from the cluster's registry", build("{strategy: {sourceStrategy: {from: {kind: ImageStreamTag, name: 's:v1'}}}}") + stream("ns", "", item(own)), nil, ""},
		{"a build from the cluster's registry by name", build("{strategy: {customStrategy: {from: {kind: DockerImage, name: '" + own + "'}}}}"), nil, ""},
		{"a build from the cluster's registry by its longer name", build("{strategy: {customStrategy: {from: {kind: DockerImage, name: '" + ownLong + "'}}}}"), nil, ""},
		{"a build from a stream of the longer name", build("{strategy: {sourceStrategy: {from: {kind: ImageStreamTag, name: 's:v1'}}}}") + stream("ns", "", item(ownLong)), nil, ""},
		{"a build from the registry that the cluster names", build("{strategy: {customStrategy: {from: {kind: DockerImage, name: 'registry.example:5000/ns/s:1'}}}}") + imageConfig("registry.example:5000"), nil, ""},
		{"a build from another registry than the cluster names", build("{strategy: {customStrategy: {from: {kind: DockerImage, name: 'registry.example:5000/ns/s:1'}}}}") + imageConfig("registry.example"), []string{"build-from-registry warning BuildConfig ns/b"}, "registry.example:5000/ns/s:1"},
		{"a build of an image with no registry, and a cluster that names none", build("{strategy: {customStrategy: {from: {kind: DockerImage, name: '/s:1'}}}}") + imageConfig(""), []string{"build-from-registry warning BuildConfig ns/b"}, ""},
		{"a build from a stream that is not there", build("{strategy: {sourceStrategy: {from: {kind: ImageStreamTag, name: s}}}}"), nil, ""},
		{"a build from another namespace's stream", build("{strategy: {sourceStrategy: {from: {kind: ImageStreamTag, name: 's:v1'}}}}") + stream("openshift", "", item("quay.io/x/y"+digest)), nil, ""},
		{"a build of a Dockerfile alone", build("{strategy: {dockerStrategy: {}}}"), nil, ""},
		{"a build of another shape", build("{strategy: {dockerStrategy: {from: [1]}}}"), nil, ""},

		{"samples that are left", stream("openshift", sample, "") + samplesConfig("Unmanaged"), []string{"samples-left note ImageStreams openshift"}, "left: 1, of whose tags 1 were never imported"},
		{"samples that were removed", stream("openshift", sample, item("q.io/x"+digest)) + samplesConfig("Removed"), []string{"samples-left note ImageStreams openshift"}, "oc -n openshift delete imagestreams -l samples.operator.openshift.io/managed=true"},
		{"samples whose Config was not read", stream("openshift", sample, item("q.io/x"+digest)), nil, ""},
		{"samples whose Config is of another shape", stream("openshift", sample, "") + samplesConfig("[1]"), nil, ""},
		{"samples whose Config says nothing", stream("openshift", sample, "") + samplesConfig(`""`), nil, ""},
		{"samples that are managed", stream("openshift", sample, "") + samplesConfig("Managed"), nil, ""},
		{"streams of the release", stream("openshift", "", "") + samplesConfig("Removed"), nil, ""},
		{"a label in another namespace", stream("ns", sample, ""), nil, ""},

		{"layering", object("machineconfiguration.openshift.io/v1", "MachineOSConfig", "worker", "", "spec: {machineConfigPool: {name: worker}, renderedImagePushSpec: 'registry.example.com/os:latest'}"), []string{"on-cluster-layering breaks MachineOSConfig worker"}, "registry.example.com/os:latest"},
		{"layering of another shape", object("machineconfiguration.openshift.io/v1", "MachineOSConfig", "worker", "", "spec: 1"), nil, ""},

		{"an internal registry", internal("{type: Available, status: 'True'}, {type: Degraded, status: 'False'}"), []string{"internal-release-image note InternalReleaseImage cluster"}, "api-int"},
		{"an internal registry that is degraded", internal("{type: Available, status: 'True'}, {type: Degraded, status: 'True'}"), []string{"internal-release-image warning InternalReleaseImage cluster"}, "Not available there: ocp-release-bundle-4.22.1-x86_64"},
		{"an internal registry that says nothing", internal(""), []string{"internal-release-image warning InternalReleaseImage cluster"}, ""},
		{"an internal registry of another shape", object("machineconfiguration.openshift.io/v1", "InternalReleaseImage", "cluster", "", "status: [1]"), nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var found []string
			said := ""
			for _, f := range Check(read(t, c.objects)) {
				found = append(found, f.Rule+" "+string(f.Severity)+" "+f.Object)
				said += fmt.Sprintf("%+v\n", f)
				if f.What == "" || f.Why == "" || f.Mend == "" {
					t.Errorf("finding %+v leaves something open", f)
				}
			}
			if !slices.Equal(found, c.want) || !strings.Contains(said, c.text) {
				t.Errorf("found %q, want %q with %q in %s", found, c.want, c.text, said)
			}
		})
	}
}

// TestPatches: names of objects are of whoever made them, and stay one word of a command.
func TestPatches(t *testing.T) {
	t.Parallel()
	found := Check(read(t, strings.ReplaceAll(subscriptionOf("op", "Automatic")+catalog("{image: 'q.io/c:1'}"), "name: op,", `name: "a;rm -rf $(x)",`)))
	if len(found) != 1 || !strings.Contains(found[0].Patch, `'subscription.operators.coreos.com/a;rm -rf $(x)'`) {
		t.Errorf("%+v", found)
	}
	if got := rule.Patch("", "x/y", "merge", map[string]any{"a": "it's"}); got != `oc patch x/y --type=merge -p '{"a":"it'\''s"}'` {
		t.Errorf("%s", got)
	}
	if got := rule.Patch("", "x/y", "merge", json.RawMessage("{")); got != "" {
		t.Errorf("of what is no JSON: %s", got)
	}
}

// read takes every object, as a file of objects gives them.
func read(t *testing.T, text string) Objects {
	t.Helper()
	o := make(Objects)
	err := kubeobject.Read(strings.NewReader("---\n"+text), func(obj kubeobject.Object) error {
		obj.Raw = slices.Clone(obj.Raw)
		o[obj.GroupKind()] = append(o[obj.GroupKind()], obj)
		return nil
	})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return o
}
