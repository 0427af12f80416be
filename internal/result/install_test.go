package result

import (
	"errors"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/installneeds"
)

func needsOf(platforms, leftOut []string, missing ...installneeds.Missing) *Install {
	return &Install{Release: "4.18.3", Image: "quay.io/a/release@sha256:0", Flavor: "upi", Report: installneeds.Report{
		Needed: 17, Missing: missing, OtherPlatforms: leftOut, Platforms: platforms, ClusterPlatforms: []string{"none", "baremetal"},
	}}
}

func TestInstall(t *testing.T) {
	t.Parallel()
	etcd := installneeds.Missing{Component: "etcd", Ref: "quay.io/a/b@sha256:1", Platform: "linux/arm64", What: installneeds.MissingImage, AskedBy: []string{"bootkube.sh"}}
	for name, c := range map[string]struct {
		in         *Install
		ok         bool
		want, none []string
	}{
		"all": {needsOf([]string{"linux/amd64"}, nil), true, []string{"with platform none or baremetal finds all of its 17 images here", "OK: "}, []string{"LEFT OUT", "->", "linux/"}},
		"of its platforms": {needsOf(nil, []string{"aws-ebs-csi-driver"}), true, []string{
			"LEFT OUT 1 image that other platforms ask for: aws-ebs-csi-driver", "with platform none or baremetal finds all",
			"-> on a platform whose images are left out it would not: bundle the whole release",
		}, nil},
		"one architecture": {needsOf([]string{"linux/amd64", "linux/arm64"}, nil, etcd), false, []string{
			"MISSING  etcd  quay.io/a/b@sha256:1  for linux/arm64", "on machines of linux/amd64, linux/arm64 asks for 17 images, and would not get 1 of them",
			"NOT OK: every digest is right, but an installation would end",
		}, []string{"\nOK"}},
		"unknown": {InstallError("upi", errors.New("a reason\x1b")), false, []string{"not known: a reason", "NOT OK: every digest is right, but what an installation asks for is not known"}, []string{"finds all", "\x1b"}},
	} {
		r := Bundle{OK: true}
		r.AddInstall(c.in)
		var out strings.Builder
		if err := r.WriteText(&out); err != nil || r.OK != c.ok {
			t.Errorf("%s: ok %v, %v", name, r.OK, err)
		}
		for _, s := range c.want {
			if !strings.Contains(out.String(), s) {
				t.Errorf("%s: no %q in\n%s", name, s, out.String())
			}
		}
		for _, s := range c.none {
			if strings.Contains(out.String(), s) {
				t.Errorf("%s: %q in\n%s", name, s, out.String())
			}
		}
	}
	r := Bundle{OK: true}
	if r.AddInstall(nil); !r.OK {
		t.Error("nobody asked, and it is not OK")
	}
}
