package site_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
	"github.com/nodeseal/nodeseal/internal/nodeconfig"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/machine"
	"github.com/nodeseal/nodeseal/internal/nodeconfig/site"
)

// inputs opens files out of a map.
func inputs(files map[string]string) site.Inputs {
	return site.Inputs{Open: func(name string) (io.ReadCloser, error) {
		content, ok := files[name]
		if !ok {
			return nil, errors.New("there is no " + name)
		}
		return io.NopCloser(strings.NewReader(content)), nil
	}}
}

// What was asked for and makes no sense is machine.ErrSettings, in words of its own; a file
// that cannot be read is not.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		ask     site.Site
		want    string
		refused bool
	}{
		{site.Site{}, "--ocp-version is missing", true},
		{site.Site{Version: "4.18", NoPins: true, Pins: []string{"a/*"}}, "--pin and --no-pins cannot both be given", true},
		{site.Site{Version: "4.18", Nameserver: "dns"}, `--nameserver "dns": want an address`, true},
		{site.Site{Version: "4.18", NoRegistries: true}, "--no-registries: no --bundle names a registry", true},
		{site.Site{Version: "4.18", Artifacts: true}, "--artifacts: CRI-O of OpenShift 4.18 reads no stores", true},
		{site.Site{Version: "4.23", From: "f", RuntimeConfig: true}, "--from and --container-runtime-config", true},
		{site.Site{Version: "4.18", Key: "site_test.go"}, "--key: ", true},
		{site.Site{Version: "4.18", Key: "none"}, "--key: want a public key: open none: ", false},
		{site.Site{Version: "4.18", From: "none"}, "there is no none", false},
	} {
		_, _, err := tc.ask.Settings(t.Context(), inputs(nil))
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) || errors.Is(err, machine.ErrSettings) != tc.refused {
			t.Errorf("%+v: %v, refused %t", tc.ask, err, errors.Is(err, machine.ErrSettings))
		}
	}
}

// cluster walks over objects of a text.
type cluster string

func (c cluster) Walk(_ context.Context, each func(kubeobject.Object)) ([]objects.Problem, error) {
	return nil, kubeobject.Read(strings.NewReader(string(c)), func(o kubeobject.Object) error { each(o); return nil })
}

const mirrorSet = `apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: NAME}
spec: {imageDigestMirrors: [{source: registry.example/SOURCE, mirrors: [mirror.example/SOURCE]}]}
`

// Mirrors of files and of the cluster are in the drop-in in one order, whichever comes first.
func TestMirrors(t *testing.T) {
	t.Parallel()
	set := func(name, source string) string {
		return strings.NewReplacer("NAME", name, "SOURCE", source).Replace(mirrorSet)
	}
	conf := func(file, fromCluster string) string {
		in := inputs(map[string]string{"mirrors.yaml": file})
		in.Cluster = func() (site.Walker, error) { return cluster(fromCluster), nil }
		ask := site.Site{Version: "4.18", Sources: site.Sources{Address: nodeconfig.DefaultRegistry, Mirrors: []string{"mirrors.yaml"}}}
		s, _, err := ask.Settings(t.Context(), in)
		if err != nil || len(s.Registries) == 0 {
			t.Fatal(s.Registries, err)
		}
		return string(s.Registries[0].Content)
	}
	one := conf(set("a", "one"), set("b", "two"))
	if other := conf(set("b", "two"), set("a", "one")); one != other {
		t.Errorf("the order of the sources shows:\n%s\n%s", one, other)
	}
	for _, source := range []string{"registry.example/one", "registry.example/two"} {
		if !strings.Contains(one, source) {
			t.Errorf("%s is not in\n%s", source, one)
		}
	}
}
