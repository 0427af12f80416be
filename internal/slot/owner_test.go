package slot

import (
	"testing"

	"github.com/nodeseal/nodeseal/bundle"
)

// TestComponent: the name that a release gives an image is shown in the place of its
// reference.
func TestComponent(t *testing.T) {
	t.Parallel()
	const ref = "quay.io/x@sha256:00"
	inv := &bundle.Inventory{Images: []bundle.Image{
		{Ref: ref, From: []bundle.Origin{{Source: "file", Name: "a b"}, {Source: "release", Name: "4.20.1 etcd"}}}, {Ref: "quay.io/y"},
	}}
	if got := component(inv, []string{"quay.io/x:1", ref}); got != "etcd" {
		t.Errorf("component %q", got)
	}
	if got := component(inv, []string{"quay.io/y"}); got != "" {
		t.Errorf("component %q of an image of no release", got)
	}
	u := Use{Kind: Container, Name: "k8s_etcd_etcd-0_openshift-etcd_3f-1_0", Image: ref, Component: "etcd"}
	u.inPod(u.Name)
	if got := u.String(); got != "container etcd of pod openshift-etcd/etcd-0 of etcd" {
		t.Error(got)
	}
}
