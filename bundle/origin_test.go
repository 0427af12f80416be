package bundle

import "testing"

func TestOriginString(t *testing.T) {
	for want, o := range map[string]Origin{
		"Deployment dns/resolver, container main":        {Source: "cluster", Kind: "Deployment", Namespace: "dns", Object: "resolver", Container: "main"},
		"Deployment dns/resolver, container main, env X": {Source: "cluster", Kind: "Deployment", Namespace: "dns", Object: "resolver", Container: "main", Name: "env X"},
		"MachineConfig rendered-master-1, osImageURL":    {Source: "cluster", Kind: "MachineConfig", Object: "rendered-master-1", Name: "osImageURL"},
		"file images.lst:3":                              {Source: "file", Name: "images.lst:3"},
		"release 4.20.1 tag dns":                         {Source: "release", Name: "4.20.1 tag dns"},
		"ClusterVersion version, desired release":        {Source: "cluster", Kind: "ClusterVersion", Object: "version", Name: "desired release"},
	} {
		if got := o.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
