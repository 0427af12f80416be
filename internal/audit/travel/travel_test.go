package travel

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// now is when the clusters of the tests are read.
func now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// certificate is one that ends after a while, as PEM.
func certificate(t *testing.T, after time.Duration) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now().Add(-1000 * day), NotAfter: now().Add(after)}
	der, err := x509.CreateCertificate(rand.Reader, &made, &made, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func bundle(t *testing.T, namespace, name, content string) kubeobject.Object {
	t.Helper()
	return parse(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":%q,"name":%q},"data":{"ca-bundle.crt":%q}}`, namespace, name, content))
}

func parse(t *testing.T, text string) kubeobject.Object {
	t.Helper()
	o, err := kubeobject.Parse([]byte(text), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestCertificates: the day is told, and it is worse the nearer it is.
func TestCertificates(t *testing.T) {
	t.Parallel()
	kubelets, api := authorities()[1], authorities()[0]
	for _, c := range []struct {
		name    string
		of      authority
		content string
		now     time.Time
		want    string // severity, "" for none
		text    string
	}{
		{"kubelets', of a healthy cluster", kubelets, certificate(t, 20*day), now(), "note", "2026-03-21 12:00 UTC"},
		{"kubelets', the last one counts", kubelets, certificate(t, -day) + certificate(t, 20*day) + certificate(t, day), now(), "note", "2026-03-21"},
		{"kubelets', not made anew in time", kubelets, certificate(t, 5*day), now(), "warning", "oc adm certificate approve"},
		{"kubelets', over", kubelets, certificate(t, -day), now(), "warning", "It had ended"},
		{"kubelets', with no clock", kubelets, certificate(t, 5*day), time.Time{}, "note", "2026-03-06"},
		{"the API server's, of a healthy cluster", api, certificate(t, 70*day), now(), "", ""},
		{"the API server's, not made anew in time", api, certificate(t, 50*day), now(), "warning", ""},
		{"the API server's, over", api, certificate(t, -time.Second), now(), "breaks", ""},
		{"no PEM", kubelets, "nothing", now(), "", ""},
		{"PEM that is no certificate", kubelets, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", now(), "", ""},
		{"a certificate after one that is none", kubelets, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + certificate(t, 20*day), now(), "note", ""},
	} {
		o := bundle(t, c.of.namespace, c.of.name, c.content)
		if !Watches(o) {
			t.Errorf("%s: %s is not read", c.name, o)
		}
		got, said := "", ""
		for _, f := range Check(Cluster{Now: c.now, Objects: map[string][]kubeobject.Object{"ConfigMap": {o}}}) {
			got, said = string(f.Severity), fmt.Sprintf("%+v", f)
			if f.Rule != "certificates-expire" || f.Object != o.String() {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if got != c.want || !strings.Contains(said, c.text) {
			t.Errorf("%s: %q, want %q with %q in %s", c.name, got, c.want, c.text, said)
		}
	}
	other := bundle(t, kubelets.namespace, "other", certificate(t, -day))
	if Watches(other) {
		t.Error("another ConfigMap is read")
	}
	shape := parse(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":%q,"name":%q},"data":[1]}`, kubelets.namespace, kubelets.name))
	if found := Check(Cluster{Now: now(), Objects: map[string][]kubeobject.Object{"ConfigMap": {other, shape}}}); len(found) > 0 {
		t.Errorf("%+v", found)
	}
}

func platform(t *testing.T, kind string) map[string][]kubeobject.Object {
	t.Helper()
	return map[string][]kubeobject.Object{infrastructures: {parse(t, fmt.Sprintf(`{"apiVersion":"config.openshift.io/v1","kind":"Infrastructure","metadata":{"name":"cluster"},`+
		`"status":{"apiServerInternalURI":"https://api-int.c.example.com:6443","platformStatus":{"type":%q}}}`, kind))}}
}

// TestNodes: what the configuration of nodes lacks of time and of the API's name.
func TestNodes(t *testing.T) {
	t.Parallel()
	const hosts, api = "10.0.0.5 api-int.c.example.com api.c.example.com\n", "address=/api-int.c.example.com/10.0.0.5\n"
	const siteConf = "/etc/chrony.d/site.conf"
	for _, c := range []struct {
		name, platform string
		files          []string // path and content in turn
		want           []string
		text           string
	}{
		{"nothing", "None", nil, []string{"no-time-source", "api-name-outside"}, "Nothing in the pool's configuration writes /etc/chrony.conf"},
		{"a virtual IP", "BareMetal", nil, []string{"no-time-source"}, ""},
		{"a cloud", "AWS", nil, nil, ""},
		{"a server and dnsmasq", "None", []string{chronyConf, "server 10.0.0.1 iburst\n", "/etc/dnsmasq.d/single-node.conf", api}, nil, ""},
		{"a server by name, and /etc/hosts", "External", []string{chronyConf, "# x\npool ntp.example.com\n", hostsFile, hosts}, nil, ""},
		{"public servers", "BareMetal", []string{chronyConf, "pool 2.rhel.pool.ntp.org iburst\nserver 0.POOL.ntp.org.\n"}, []string{"no-time-source"}, "2.rhel.pool.ntp.org, 0.POOL.ntp.org."},
		{"a public and another server", "BareMetal", []string{chronyConf, "pool 2.rhel.pool.ntp.org\nserver 10.0.0.1\n"}, nil, ""},
		{"the node's own clock", "BareMetal", []string{chronyConf, "pool 2.rhel.pool.ntp.org\nlocal stratum 10 orphan\n"}, nil, ""},
		{"a reference clock", "BareMetal", []string{chronyConf, "refclock PPS /dev/pps0\n"}, nil, ""},
		{"no source", "BareMetal", []string{chronyConf, "#server 10.0.0.1\nserver\n\ndriftfile /x\n"}, []string{"no-time-source"}, "names no source"},
		{"a server in a directory", "BareMetal", []string{chronyConf, "driftfile /x\nconfdir /etc/x.d /etc/chrony.d/\n", "/etc/x.d/y.conf", "\n", siteConf, "server 10.0.0.1\n"}, nil, ""},
		{"a server in a directory of sources", "BareMetal", []string{chronyConf, "pool 2.rhel.pool.ntp.org\nSourceDir /etc/chrony.d\n", "/etc/chrony.d/site.sources", "server ntp.site iburst\n"}, nil, ""},
		{"a server in an included file of an included file", "BareMetal", []string{chronyConf, "include /etc/chrony*.conf\n", "/etc/chrony-1.conf", "include /etc/chrony-2.txt\n", "/etc/chrony-2.txt", "include /etc/chrony.conf\npeer 10.0.0.1\n"}, nil, ""},
		{"files that the configuration has not", "BareMetal", []string{chronyConf, "confdir /etc/chrony.d\n"}, nil, ""},
		{"sources that the configuration has not", "BareMetal", []string{chronyConf, "pool 2.rhel.pool.ntp.org\nsourcedir /etc/chrony.d\n", siteConf, "server 10.0.0.1\n"}, nil, ""},
		{"an included file that the configuration has not", "BareMetal", []string{chronyConf, "include /etc/site.conf\n"}, nil, ""},
		{"one of two directories that the configuration has not", "BareMetal", []string{chronyConf, "confdir /etc/chrony.d /etc/x.d\n", siteConf, "pool 2.rhel.pool.ntp.org\n"}, nil, ""},
		{"more includes than are looked for", "BareMetal", []string{chronyConf, strings.Repeat("include /etc/chrony.d/*\n", maxIncludes+1), siteConf, "\n"}, nil, ""},
		{"a pattern that is none", "BareMetal", []string{chronyConf, "include /etc/[\n"}, nil, ""},
		{"public servers in a directory", "BareMetal", []string{chronyConf, "confdir /etc/chrony.d\n", siteConf, "pool 2.rhel.pool.ntp.org\nconfdir /etc/chrony.d\n"}, []string{"no-time-source"}, "public servers alone: 2.rhel.pool.ntp.org."},
		{"a directory without a source", "BareMetal", []string{chronyConf, "confdir\ninclude\nconfdir /etc/chrony.d\n", siteConf, "makestep 1 3\n", "/etc/chrony.d/x", "server 10.0.0.1\n"}, []string{"no-time-source"}, "names no source"},
		{"the file that RHEL brings", "BareMetal", []string{chronyConf, "pool 2.rhel.pool.ntp.org iburst\nsourcedir /run/chrony-dhcp\n"}, []string{"no-time-source"}, "2.rhel.pool.ntp.org. Servers that DHCP names are asked, too."},
		{"a host in a comment", "None", []string{chronyConf, "local\n", hostsFile, "#" + hosts}, []string{"api-name-outside"}, "api-int.c.example.com"},
		{"the host in a file of another place", "None", []string{chronyConf, "local\n", "/etc/x", hosts}, []string{"api-name-outside"}, ""},
	} {
		p := Pool{Name: "worker"}
		for i := 0; i < len(c.files); i += 2 {
			p.Files = append(p.Files, kubeobject.HostFile{Path: c.files[i], Content: c.files[i+1]})
		}
		for _, f := range p.Files {
			if strings.HasPrefix(f.Path, "/etc/chrony") && !LooksAt(f.Path) {
				t.Errorf("%s is not read", f.Path)
			}
		}
		var found []string
		said := ""
		for _, f := range Check(Cluster{Objects: platform(t, c.platform), Pools: []Pool{p}}) {
			found = append(found, f.Rule)
			said += fmt.Sprintf("%+v\n", f)
			if f.Object != "MachineConfigPool worker" || f.Severity != "warning" {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if !slices.Equal(found, c.want) || !strings.Contains(said, c.text) {
			t.Errorf("%s: found %q, want %q with %q in %s", c.name, found, c.want, c.text, said)
		}
	}
	if LooksAt("/etc/chrony.keys") {
		t.Error("keys are read")
	}
	shape := map[string][]kubeobject.Object{infrastructures: {parse(t, `{"apiVersion":"config.openshift.io/v1","kind":"Infrastructure","metadata":{"name":"cluster"},"status":[1]}`)}}
	for _, objects := range []map[string][]kubeobject.Object{nil, shape} {
		if found := Check(Cluster{Objects: objects, Pools: []Pool{{Name: "worker"}}}); len(found) > 0 {
			t.Errorf("of a platform that is not known: %+v", found)
		}
	}
}
